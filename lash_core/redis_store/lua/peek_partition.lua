-- peek_partition: how much is due, and which leases may have expired. Writes nothing.
--
-- KEYS[1] leases  zset  process id -> expiry ms
-- KEYS[2] owners  hash  process id -> lease
-- KEYS[3..] queues, each a zset process id -> due ms
-- ARGV[1] limit   int  expired leases to name at most
-- ARGV[2] queues  int  number of queue keys
-- RETURNS now_ms, due rows in all queues, expired leases, when the next row becomes due or 0, then process id and lease of the
--         longest expired ones
-- INVARIANT nothing changes; what it names is checked again by the script that acts.
-- CLOCK Redis TIME decides what is due and expired.
--- @include now
--- @include next_due

local now, due = F(now_ms), 0
for q = 3, 2 + tonumber(ARGV[2]) do due = due + redis.call('ZCOUNT', KEYS[q], '-inf', now) end
local reply = { now, due, redis.call('ZCOUNT', KEYS[1], '-inf', now), next_due(3, 2 + tonumber(ARGV[2])) }
local limit = tonumber(ARGV[1])
if reply[3] > 0 and limit > 0 then
  local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)
  local owned = redis.call('HMGET', KEYS[2], unpack(ids))
  for i, process_id in ipairs(ids) do
    reply[#reply + 1] = process_id
    reply[#reply + 1] = owned[i] or ''
  end
end
return reply
