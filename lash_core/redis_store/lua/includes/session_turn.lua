-- The open turn of a session: fields of its head. ot '<turn id>\n<facts>', ob '\n<batch id>\n<batch id>\n', tw
-- number of its accepted writes. Its journal is the scope journal of the turn. Needs now.lua, session_keys.lua, session_due.lua.
-- open_turn_id(keys): or nil.
-- is_taken_in(keys, batch_id): true when the open turn has taken in this batch.
-- take_in(keys, text): adds batches, each with '\n' behind it.
-- close_turn(keys, turn_id): forgets the open turn when it is this one; its journal is the caller's to delete. A write
-- was accepted, so the deaths of its owners are forgotten too.
local function open_turn_id(keys)
  local open = redis.call('HGET', keys.head, 'ot')
  return open and string.match(open, '^[^\n]*') or nil
end
local function is_taken_in(keys, batch_id)
  local taken = redis.call('HGET', keys.head, 'ob')
  return taken and string.find(taken, '\n' .. batch_id .. '\n', 1, true) ~= nil
end
local function take_in(keys, text)
  local taken = redis.call('HGET', keys.head, 'ob') or '\n'
  local more = {}
  for id in string.gmatch(text, '[^\n]+') do
    if not string.find(taken, '\n' .. id .. '\n', 1, true) then more[#more + 1] = id .. '\n' end
  end
  if #more > 0 then redis.call('HSET', keys.head, 'ob', taken .. table.concat(more)) end
end
local function close_turn(keys, turn_id)
  if open_turn_id(keys) == turn_id then redis.call('HDEL', keys.head, 'ot', 'ob', 'tw') end
  note_progress(keys, open_turn_id(keys) ~= nil)
end
