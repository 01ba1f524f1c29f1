-- swap_background_tasks: put rows of background tasks in the place of those that the caller read, all or none.
--
-- KEYS[1] tasks   hash   <scope key>\n<task id> -> 1;<us of its beginning>;<revision>;<us of its end or 0>;<write id>;<JSON>
-- KEYS[2] head    hash   meta
-- ARGV[1] write_id   str
-- ARGV[2] rows_max   int   rows of one session
-- ARGV[3..] six a row: field; expected revision, 0 = there is none; created now, kept or us; ended 0, now or us; put, drop or take; JSON
-- RETURNS swapped | changed | full | absent
-- INVARIANT a row is only replaced by who read it as it is; its revision only rises.
-- INVARIANT a repeat of the same write changes nothing and is answered as the first; a drop of what is gone is done,
-- INVARIANT a take of it is not: who takes learns that somebody else was there.
-- INVARIANT a session that was deleted gets no rows.
-- CLOCK Redis TIME.
--- @include now
local PATTERN = '^1;(%d+);(%d+);(%d+);([^;]*);'
local rows, puts, again, count = {}, 0, 0, redis.call('HLEN', KEYS[1])
for at = 3, #ARGV, 6 do
  local row = {
    field = ARGV[at], expected = ARGV[at + 1], created = ARGV[at + 2], ended = ARGV[at + 3],
    drop = ARGV[at + 4] ~= 'put', take = ARGV[at + 4] == 'take', text = ARGV[at + 5],
  }
  local there = redis.call('HGET', KEYS[1], row.field)
  local created, revision, ended, write = string.match(there or '', PATTERN)
  row.was_created, row.was, row.was_ended = created, revision, ended
  if write == ARGV[1] and not row.drop then
    again = again + 1
  elseif (revision or '0') ~= row.expected and (there or row.take or not row.drop) then
    row.differs = true
  end
  if row.drop then
    count = count - (there and 1 or 0)
  else
    puts = puts + 1
    count = count + (there and 0 or 1)
  end
  rows[#rows + 1] = row
end
if puts > 0 and again == puts then
  local reply = { 'swapped' }
  for _, row in ipairs(rows) do
    reply[#reply + 1] = row.drop and '' or row.was_created .. ';' .. row.was .. ';' .. row.was_ended
  end
  return reply
end
if puts > 0 and redis.call('HEXISTS', KEYS[2], 'meta') == 0 then
  return { 'absent' }
end
for _, row in ipairs(rows) do
  if row.differs then return { 'changed' } end
end
if puts > 0 and count > tonumber(ARGV[2]) then
  return { 'full' }
end
local reply = { 'swapped' }
for _, row in ipairs(rows) do
  if row.drop then
    redis.call('HDEL', KEYS[1], row.field)
    reply[#reply + 1] = ''
  else
    local revision = F(math.max(now_us, tonumber(row.was or '0') + 1))
    local created = row.created
    if created == 'now' or (created == 'kept' and not row.was_created) then
      created = F(now_us)
    elseif created == 'kept' then
      created = row.was_created
    end
    local ended = row.ended == 'now' and revision or row.ended
    local times = created .. ';' .. revision .. ';' .. ended
    redis.call('HSET', KEYS[1], row.field, '1;' .. times .. ';' .. ARGV[1] .. ';' .. row.text)
    reply[#reply + 1] = times
  end
end
return reply
