-- Claims of the lane of pending inputs (``docs/contracts/sessions.md`` 2.5). The same rules stand in
-- model/turn_input_lane.py. Needs session_keys.lua, session_inputs.lua, session_claims.lua.
-- active_inputs(keys, generation, turn_id, checkpoint w or c, max), next_inputs(keys, generation, max): rows in the lane's order.
-- take_inputs(keys, rows, lease_token, generation): as take_rows; those for an active turn are accepted.
-- repeated_inputs(keys, number): rows that a claim of this number has.
local function choose_inputs(keys, generation, max, fits)
  local rows = {}
  if max < 1 then return rows end
  for _, id in ipairs(waiting_inputs(keys)) do
    local row = input_of(keys, id)
    if row and row.generation ~= generation and fits(row) then
      rows[#rows + 1] = row
      if #rows >= max then return rows end
    end
  end
  return rows
end
local function active_inputs(keys, generation, turn_id, checkpoint, max)
  return choose_inputs(keys, generation, max, function(row)
    return (row.state == 'p' or row.state == 'a') and row.turn == turn_id and (row.ingress == 'w' or checkpoint == 'c')
  end)
end
local function next_inputs(keys, generation, max)
  return choose_inputs(keys, generation, max, function(row) return row.state == 'd' end)
end
local function accept_input(keys, row)
  if row.state == 'p' then row.state = 'a' end
  write_input(keys, row)
end
local function take_inputs(keys, rows, lease_token, generation)
  return take_claim(keys, { kind = 'tic', bodies = keys.inputs, write = accept_input }, rows, lease_token, generation)
end
local function repeated_inputs(keys, number)
  local rows = {}
  for _, id in ipairs(waiting_inputs(keys)) do
    local row = input_of(keys, id)
    if row and row.number == number then rows[#rows + 1] = row end
  end
  return #rows > 0 and claim_answer(keys.inputs, rows)
end
