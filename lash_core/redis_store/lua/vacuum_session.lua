#!lua flags=allow-oom
-- vacuum_session: remove tombstoned nodes, inputs that are over, and receipts of settled source keys, for good.
--
-- KEYS[1] nodes        hash
-- KEYS[2] node_order   zset
-- KEYS[3] tombstones   set
-- KEYS[4..] the keys of includes/session_keys.lua
-- ARGV[1] session_id   str
-- ARGV[2] many         int   of each kind, in one call
-- RETURNS vacuumed nodes inputs more (1 = there may be more)
-- INVARIANT a head that stood on a removed node stands nowhere; what waits or is claimed stays.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_queue
--- @include session_inputs
local keys, many = session_keys(4, ARGV[1]), tonumber(ARGV[2])
local hidden = redis.call('SRANDMEMBER', KEYS[3], many)
local leaf, removed = redis.call('HGET', keys.head, 'lf'), 0
for _, id in ipairs(hidden) do
  removed = removed + redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('SREM', KEYS[3], id)
  if leaf == id then redis.call('HDEL', keys.head, 'lf') end
end
local over = redis.call('ZRANGEBYSCORE', keys.input_order, '-inf', '(0', 'LIMIT', 0, many)
for _, id in ipairs(over) do
  local row = input_of(keys, id)
  if row then forget_input(keys, row) else redis.call('ZREM', keys.input_order, id) end
end
local receipts = redis.call('ZCARD', keys.settled)
if receipts > 0 then
  forget_oldest_receipts(keys, 0, { receipts = math.max(receipts - many, 0), bytes = math.huge })
end
local more = #hidden == many or #over == many or receipts > many
return { 'vacuumed', removed, #over, more and 1 or 0 }
