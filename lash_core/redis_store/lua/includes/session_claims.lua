-- Which rows of a session's queue a claim takes (``docs/contracts/sessions.md`` 2.4; decisions 2, 21, 22), and the claim
-- itself. Needs now.lua, session_keys.lua, session_queue.lua. The same rules stand in model/queue_selection.py.
-- leading_command(keys, generation): the earliest ready row if it is a command, as a list.
-- leading_group(keys, generation, boundary, max): the group at the head. exact_rows(keys, generation, boundary, ids): all or none.
-- take_rows(keys, rows, lease_token, generation): the claim: seq of the first row, claim number, token, then id, header and body
-- of each row; false for no rows.
-- repeated_rows(keys, number): rows that a claim of this number has.
-- take_claim(keys, lane, rows, lease_token, generation), claim_answer(bodies, rows): shared with the lane of inputs; a lane is its
-- kind, the key of its bodies, and what writes a row.
local CLAIM_PAGE = 100
-- Where most rows are for later, the due ones are few: they are found by their times and put into the queue's order.
local function due_ids(keys)
  local total = redis.call('ZCARD', keys.order)
  if total <= CLAIM_PAGE or redis.call('ZCOUNT', keys.due, '-inf', F(now_ms)) * 4 > total then return nil end
  local found, ids = {}, {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', keys.due, '-inf', F(now_ms))) do
    if string.sub(member, 1, 1) == 'q' then found[#found + 1] = string.sub(member, 2) end
  end
  if #found == 0 then return ids end
  local seqs = redis.call('ZMSCORE', keys.order, unpack(found))
  local order = {}
  for i, id in ipairs(found) do order[i] = { tonumber(seqs[i] or '0'), id } end
  table.sort(order, function(one, other) return one[1] < other[1] end)
  for i, pair in ipairs(order) do ids[i] = pair[2] end
  return ids
end
local function each_row(keys, visit)
  local few, at = due_ids(keys), 0
  while true do
    local ids = few or redis.call('ZRANGE', keys.order, at, at + CLAIM_PAGE - 1)
    for _, id in ipairs(ids) do
      local row = row_of(keys, id)
      if row and visit(row) then return end
    end
    if few or #ids < CLAIM_PAGE then return end
    at = at + CLAIM_PAGE
  end
end
-- Rows that this generation holds and rows that are not due neither lead nor end a group.
local function is_ready(row, generation)
  return row.generation ~= generation and tonumber(row.available) <= now_ms
end
local function may_cross(row, boundary)
  return boundary == 'idle' or row.delivery == 'e'
end
local function leading_command(keys, generation)
  local found = {}
  each_row(keys, function(row)
    if not is_ready(row, generation) then return false end
    if row.class == 'c' then found[1] = row end
    return true
  end)
  return found
end
local function leading_group(keys, generation, boundary, max)
  local group = {}
  if max < 1 then return group end
  each_row(keys, function(row)
    if not is_ready(row, generation) then return false end
    local head = group[1]
    if not head then
      if row.class == 'c' or not may_cross(row, boundary) then return true end
    elseif row.slot ~= 'j' or row.delivery ~= head.delivery or row.merge ~= head.merge or row.class ~= head.class then
      return true
    end
    group[#group + 1] = row
    return row.slot == 'x' or #group >= max
  end)
  return group
end
local function exact_rows(keys, generation, boundary, ids)
  local rows, known = {}, {}
  for _, id in ipairs(ids) do
    if not known[id] then
      known[id] = true
      local row = row_of(keys, id)
      if not row or not is_ready(row, generation) or row.class == 'c' or not may_cross(row, boundary) then return {} end
      rows[#rows + 1] = row
    end
  end
  for _, row in ipairs(rows) do
    if #rows > 1 and row.slot == 'x' then return {} end
  end
  table.sort(rows, function(one, other) return tonumber(one.seq) < tonumber(other.seq) end)
  return rows
end
local function claim_answer(bodies, rows)
  local first = rows[1]
  local reply = { first.head_seq, first.number, first.token }
  for _, row in ipairs(rows) do
    reply[#reply + 1] = row.id
    reply[#reply + 1] = row.header
    reply[#reply + 1] = redis.call('HGET', bodies, 'b' .. row.id)
  end
  return reply
end
local function take_claim(keys, lane, rows, lease_token, generation)
  if #rows == 0 then return false end
  local number, seq = F(redis.call('HINCRBY', keys.head, 'cf', 1)), rows[1].seq
  local token = redis.sha1hex(table.concat({ lane.kind, keys.sid, seq, number, lease_token, generation }, '\n'))
  for _, row in ipairs(rows) do
    row.head_seq, row.number, row.generation, row.token = seq, number, generation, token
    lane.write(keys, row)
  end
  return claim_answer(lane.bodies, rows)
end
local function take_rows(keys, rows, lease_token, generation)
  return take_claim(keys, { kind = 'qwc', bodies = keys.rows, write = write_header }, rows, lease_token, generation)
end
local function repeated_rows(keys, number)
  local rows = {}
  each_row(keys, function(row)
    if row.number == number then rows[#rows + 1] = row end
    return false
  end)
  return #rows > 0 and claim_answer(keys.rows, rows)
end
