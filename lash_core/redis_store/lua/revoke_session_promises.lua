#!lua flags=allow-oom
-- revoke_session_promises: delete a session's promises and refuse its keys for ever.
--
-- KEYS[1] promises  hash  promise -> p or t (pending; t = turn control) or the resolution's JSON; revoked -> ms
-- RETURNS revoked
-- INVARIANT the first time of a revocation stays.
-- CLOCK Redis TIME.
--- @include now
if redis.call('HEXISTS', KEYS[1], 'revoked') == 0 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'revoked', F(now_ms))
end
redis.call('SPUBLISH', KEYS[1], 'revoked')
return 'revoked'
