-- The last claim of a session, so that a lost reply loses no rows: field cq of the head, '<request id>;<number of the queue's
-- claim>;<number of the lane's claim>', a number blank where nothing was taken. Needs session_keys.lua.
-- repeated_claim(keys, request_id): true and the two numbers when this request was carried out before.
-- note_claim(keys, request_id, rows, inputs): answers of take_rows and take_inputs, or false.
local function repeated_claim(keys, request_id)
  local request, number, input_number = string.match(redis.call('HGET', keys.head, 'cq') or '', '^(%x+);(%d*);(%d*)$')
  if request ~= request_id then return false end
  return true, number, input_number
end
local function note_claim(keys, request_id, rows, inputs)
  if not rows and not inputs then return end
  redis.call('HSET', keys.head, 'cq', request_id .. ';' .. (rows and rows[2] or '') .. ';' .. (inputs and inputs[2] or ''))
end
