-- Rows of a session's lane of pending inputs (``docs/contracts/sessions.md`` 2.5).
-- Needs now.lua, session_keys.lua; set_due comes after them.
-- keys.inputs has 'h<id>' = '<state>;<ingress n|w|c>;<seq>;<enqueued ms>;<seq of its claim's first>;<claim number>;<generation>;
-- <claim token>;<hash of the content>;<bytes of the turn id>;<turn id><source key>', 'b<id>' = the input's JSON and
-- 's<source key>' = id. States: p pending_active, d deferred_next_turn, a accepted, x cancelled, c completed. keys.input_order has
-- the seq of a row that waits, and minus the seq of one that is over.
-- input_of(keys, id): a table, or nil.
-- input_claim_fault(keys, claim_id, token, id): nil while that claim has the row, else superseded.
-- end_input(keys, row, state): cancelled (x) or completed (c).
-- defer_inputs(keys, turn_id): rows for a turn that did not take them go to the next one.
-- forget_input(keys, row): for good.
local INPUT = '^(%l);(%l);(%d+);(%d+);(%d*);(%d*);(%d*);(%x*);(%x*);(%d+);(.*)$'
local function input_of(keys, id)
  local header = redis.call('HGET', keys.inputs, 'h' .. id)
  if not header then return nil end
  local row, length, rest = { id = id, header = header }, nil, nil
  row.state, row.ingress, row.seq, row.enqueued, row.head_seq, row.number, row.generation, row.token, row.hash, length,
    rest = string.match(header, INPUT)
  row.turn, row.source = string.sub(rest, 1, tonumber(length)), string.sub(rest, tonumber(length) + 1)
  return row
end
local function write_input(keys, row)
  row.header = table.concat({ row.state, row.ingress, row.seq, row.enqueued, row.head_seq, row.number, row.generation,
    row.token, row.hash, #row.turn, row.turn .. row.source }, ';')
  redis.call('HSET', keys.inputs, 'h' .. row.id, row.header)
end
local function unclaim_input(row)
  row.head_seq, row.number, row.generation, row.token = '', '', '', ''
end
local function waiting_inputs(keys)
  return redis.call('ZRANGEBYSCORE', keys.input_order, '(0', '+inf')
end
local function input_claim_fault(keys, claim_id, token, id)
  local row = input_of(keys, id)
  if not row or row.token == '' or row.token ~= token then return 'superseded' end
  if 'tic:' .. row.head_seq .. ':' .. row.number ~= claim_id then return 'superseded' end
  return nil
end
local function end_input(keys, row, state)
  row.state = state
  unclaim_input(row)
  write_input(keys, row)
  redis.call('ZADD', keys.input_order, '-' .. row.seq, row.id)
  redis.call('ZREM', keys.due, 'i' .. row.id)
end
local function complete_input(keys, id)
  local row = input_of(keys, id)
  if row then end_input(keys, row, 'c') end
end
local function defer_inputs(keys, turn_id)
  for _, id in ipairs(waiting_inputs(keys)) do
    local row = input_of(keys, id)
    if row and row.state == 'p' and row.turn == turn_id then
      row.state, row.ingress, row.turn = 'd', 'n', ''
      unclaim_input(row)
      write_input(keys, row)
      redis.call('ZADD', keys.due, row.enqueued, 'i' .. id)
    end
  end
end
local function forget_input(keys, row)
  redis.call('HDEL', keys.inputs, 'h' .. row.id, 'b' .. row.id, row.source ~= '' and 's' .. row.source or 'h' .. row.id)
  redis.call('ZREM', keys.input_order, row.id)
  redis.call('ZREM', keys.due, 'i' .. row.id)
end
