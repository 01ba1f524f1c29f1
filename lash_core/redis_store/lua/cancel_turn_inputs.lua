#!lua flags=allow-oom
-- cancel_turn_inputs: cancel inputs of a session's lane; rows that a live claim has are reported and left.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id  str
-- ARGV[2] suffix      str  1 = the first target and every later row
-- ARGV[3..] targets   str  'h' and an input id, or 's' and a source key
-- RETURNS (one list a row: cancelled, already_claimed, already_completed, already_cancelled or not_found and id, header, body)
-- INVARIANT a row that is over or that a live claim has does not change.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
--- @include session_inputs
local keys = session_keys(1, ARGV[1])
local generation, over = live_generation(keys), { x = 'already_cancelled', c = 'already_completed' }
local function find(target)
  local kind, name = string.sub(target, 1, 1), string.sub(target, 2)
  local id = kind == 's' and redis.call('HGET', keys.inputs, target) or kind == 'h' and name
  return id and input_of(keys, id) or nil
end
local function cancel(row)
  if not row then return { 'not_found' } end
  local word = over[row.state]
  if not word and row.generation ~= '' and row.generation == generation then word = 'already_claimed' end
  if not word then
    end_input(keys, row, 'x')
    word = 'cancelled'
  end
  return { word, row.id, row.header, redis.call('HGET', keys.inputs, 'b' .. row.id) }
end
local reply = {}
if ARGV[2] == '1' then
  local anchor, rows = find(ARGV[3]), {}
  if not anchor then return reply end
  for _, range in ipairs({ { anchor.seq, '+inf' }, { '-inf', '-' .. anchor.seq } }) do
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys.input_order, range[1], range[2])) do
      rows[#rows + 1] = input_of(keys, id)
    end
  end
  table.sort(rows, function(one, other) return tonumber(one.seq) < tonumber(other.seq) end)
  for _, row in ipairs(rows) do reply[#reply + 1] = cancel(row) end
else
  for place = 3, #ARGV do reply[#reply + 1] = cancel(find(ARGV[place])) end
end
set_due(keys)
redis.call('SPUBLISH', keys.channel, 'inputs')
return reply
