-- enqueue_turn_input: put an input into a session's lane, or answer the row that its key or id stands for.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua; then [15] stamps (hash)
-- ARGV[1] session_id   str
-- ARGV[2] input_id     str
-- ARGV[3] hash         str  of ingress and content
-- ARGV[4] ingress      str  n = next turn, w or c = active turn from that checkpoint on
-- ARGV[5] turn_id      str  of the active turn, or ''
-- ARGV[6] source_key   str  or ''
-- ARGV[7] waiting_max  int
-- ARGV[8] body         str  JSON
-- RETURNS queued header | again input_id header body | conflict input_id | unknown | full count
-- INVARIANT a source key or id stands for its first input, also when that is over.
-- INVARIANT an input for a turn that is committed already goes to the next one: nobody would ever claim it.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_due
--- @include session_inputs
local keys = session_keys(1, ARGV[1])
if redis.call('HEXISTS', keys.head, 'meta') == 0 then return { 'unknown' } end
local known = ARGV[6] ~= '' and redis.call('HGET', keys.inputs, 's' .. ARGV[6]) or ARGV[2]
local row = input_of(keys, known)
if row and row.hash ~= ARGV[3] then return { 'conflict', known } end
if row then return { 'again', known, row.header, redis.call('HGET', keys.inputs, 'b' .. known) } end
-- Rows that are over answer repeats; the oldest of them make room.
if redis.call('ZCARD', keys.input_order) >= tonumber(ARGV[7]) then
  for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', keys.input_order, '(0', '-inf', 'LIMIT', 0, 100)) do
    forget_input(keys, input_of(keys, id))
  end
  local count = redis.call('ZCARD', keys.input_order)
  if count >= tonumber(ARGV[7]) then return { 'full', count } end
end
local ingress, turn = ARGV[4], ARGV[5]
if turn ~= '' and redis.call('HEXISTS', KEYS[15], '#' .. turn) == 1 then ingress, turn = 'n', '' end
row = { id = ARGV[2], state = ingress == 'n' and 'd' or 'p', ingress = ingress, enqueued = F(now_ms), hash = ARGV[3],
  seq = F(redis.call('HINCRBY', keys.head, 'seq', 1)), turn = turn, source = ARGV[6] }
unclaim_input(row)
write_input(keys, row)
redis.call('HSET', keys.inputs, 'b' .. row.id, ARGV[8])
if row.source ~= '' then redis.call('HSET', keys.inputs, 's' .. row.source, row.id) end
redis.call('ZADD', keys.input_order, row.seq, row.id)
if row.state == 'd' then redis.call('ZADD', keys.due, row.enqueued, 'i' .. row.id) end
set_due(keys)
redis.call('SPUBLISH', keys.channel, 'input ' .. row.id)
return { 'queued', row.header }
