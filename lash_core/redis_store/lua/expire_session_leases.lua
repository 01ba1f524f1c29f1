#!lua flags=allow-oom
-- expire_session_leases: end leases whose owners are provably dead, as if they had expired now.
--
-- KEYS[1] meta  hash  failover guard
-- KEYS[2..] fourteen an item: the session's, in the order of includes/session_keys.lua
-- ARGV[1] grace  str  of the failover guard
-- ARGV[2..] three an item: session id, fence with the owner's digest, token
-- RETURNS a word an item: expired | kept (another lease by now, or a grace runs)
-- INVARIANT only a lease that is the observed one is ended, and its death is counted.
-- CLOCK Redis TIME.
--- @include now
--- @include guard
--- @include session_keys
--- @include session_lease
--- @include session_due
local reply, count = {}, (#ARGV - 1) / 3
local quiet = quiet_until(KEYS[1], ARGV[1])
for i = 1, count do
  local keys = session_keys(2 + (i - 1) * 14, ARGV[3 * i - 1])
  if quiet == 0 and drop_session_lease(keys, ARGV[3 * i], ARGV[3 * i + 1]) then
    count_death(keys.deaths, keys.sid)
    set_due(keys)
    reply[i] = 'expired'
  else
    reply[i] = 'kept'
  end
end
return reply
