#!lua flags=allow-oom
-- renew_process_leases: extend live leases and hand back what was marked for their holders.
--
-- KEYS[1] owners  hash  process id -> lease
-- KEYS[2] leases  zset  process id -> expiry ms
-- KEYS[3] marks   hash  process id -> cancels;signals since the claim
-- KEYS[4] meta    hash  failover guard
-- KEYS[5..] one a lease: control (hash)
-- ARGV[1] ttl_ms  int
-- ARGV[2..] three a lease: process id, fence, token
-- RETURNS expiry ms of the renewed ones, then a word a lease: cancels;signals;fenced writes | expired | taken | released | unknown
-- INVARIANT an expired lease is not renewed, but in the grace after a failover, when nobody else may claim it.
-- CLOCK Redis TIME.
--- @include now
--- @include fence

local count = (#ARGV - 1) / 3
local ids, renewed = {}, {}
for i = 1, count do ids[i] = ARGV[3 * i - 1] end
local owned = redis.call('HMGET', KEYS[1], unpack(ids))
local expiries = redis.call('ZMSCORE', KEYS[2], unpack(ids))
local marks = redis.call('HMGET', KEYS[3], unpack(ids))
local quiet = tonumber(redis.call('HGET', KEYS[4], 'quiet') or '0')
local expiry = F(now_ms + tonumber(ARGV[1]))
local reply = { expiry }
for i = 1, count do
  local lives_until = expiries[i] and math.max(tonumber(expiries[i]), quiet)
  local fault = lease_fault(owned[i], lives_until, ARGV[3 * i], ARGV[3 * i + 1])
  local row = redis.call('HMGET', KEYS[4 + i], 'st', 'wn')
  if not row[1] then
    reply[i + 1] = 'unknown'
  elseif fault then
    reply[i + 1] = fault
  else
    renewed[#renewed + 1] = expiry
    renewed[#renewed + 1] = ids[i]
    reply[i + 1] = (marks[i] or '0;0') .. ';' .. (row[2] or '0')
  end
end
if #renewed > 0 then redis.call('ZADD', KEYS[2], 'XX', unpack(renewed)) end
return reply
