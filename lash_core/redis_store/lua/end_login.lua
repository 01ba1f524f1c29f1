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
--- @include login_places
local expires_at_ms = tonumber(ARGV[2])
if expires_at_ms <= now_ms or redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 'ended'
end
return note_until(KEYS[1], ARGV[1], expires_at_ms, tonumber(ARGV[3])) and 'ended' or 'full'
