-- create_session_store: make a session, once: its meta only, there is no head before the first commit.
--
-- KEYS[1] head       hash   meta
-- KEYS[2] sessions   zset   sid -> ms of its first sight: who walks over all sessions reads it
-- KEYS[3] promises   hash   revoked -> ms
-- ARGV[1] meta         str   JSON before the creation time
-- ARGV[2] meta         str   JSON after it
-- ARGV[3] session_id   str
-- RETURNS created | exists
-- INVARIANT what is there is never overwritten.
-- INVARIANT a session that is made again may have promises again; those of its predecessor are gone.
-- CLOCK Redis TIME.
--- @include now
redis.call('ZADD', KEYS[2], 'NX', F(now_ms), ARGV[3])
if redis.call('HEXISTS', KEYS[1], 'meta') == 1 then
  return 'exists'
end
redis.call('HDEL', KEYS[3], 'revoked')
redis.call('HSET', KEYS[1], 'meta', ARGV[1] .. F(now_ms) .. ARGV[2])
return 'created'
