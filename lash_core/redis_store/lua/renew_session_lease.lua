#!lua flags=allow-oom
-- renew_session_lease: extend a live lease of a session.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua; then [15] meta (hash)
-- ARGV[1] session_id  str
-- ARGV[2] fence       str  with the owner's digest
-- ARGV[3] token       str
-- ARGV[4] ttl_ms      int
-- RETURNS renewed lease expiry | lost why
-- INVARIANT an expired lease is not renewed, but in the grace after a failover, when nobody else may claim it.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
local keys = session_keys(1, ARGV[1])
local fault = session_lease_fault(keys, ARGV[2], ARGV[3])
if fault == 'expired' and tonumber(redis.call('HGET', KEYS[15], 'quiet') or '0') > now_ms then fault = nil end
if fault then return { 'lost', fault } end
local expiry = F(now_ms + tonumber(ARGV[4]))
redis.call('ZADD', keys.expiries, expiry, keys.sid)
set_due(keys)
return { 'renewed', redis.call('HGET', keys.leases, keys.sid), expiry }
