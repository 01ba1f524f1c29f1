-- end_login: note that a login is over before its cookie expires; forget what has expired.
--
-- KEYS[1] tickets      zset   ticket id or login:<login id> -> expiry ms of the redeemed and the ended ones
-- ARGV[1] login           str
-- ARGV[2] expires_at_ms   int
-- ARGV[3] logins_max      int
-- RETURNS ended | full
-- INVARIANT a login that was ended stays so until it expires.
-- INVARIANT no login is noted where logins_max places are taken; a refused call notes nothing.
-- CLOCK Redis TIME.
--- @include now
local expires_at_ms = tonumber(ARGV[2])
if expires_at_ms <= now_ms or redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 'ended'
end
-- A few at a time: each call adds one, so what is over shrinks.
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', F(now_ms), 'LIMIT', 0, 100)
if redis.call('ZCARD', KEYS[1]) - #over >= tonumber(ARGV[3]) then
  return 'full'
end
if #over > 0 then
  redis.call('ZREM', KEYS[1], unpack(over))
end
redis.call('ZADD', KEYS[1], F(expires_at_ms), ARGV[1])
return 'ended'
