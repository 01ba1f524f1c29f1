-- peek_ready_sessions: how many sessions of a partition the fleet may claim, and when the next one. Writes nothing.
--
-- KEYS[1] ready  zset  session id -> due ms
-- RETURNS now_ms, due sessions, when the next one becomes due or 0
-- INVARIANT nothing changes.
-- CLOCK Redis TIME decides what is due.
--- @include now
--- @include next_due
return { F(now_ms), redis.call('ZCOUNT', KEYS[1], '-inf', F(now_ms)), next_due(1, 1) }
