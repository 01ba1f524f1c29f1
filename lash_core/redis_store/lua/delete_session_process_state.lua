-- delete_session_process_state: remove a session's grants and leave its processes' part in the outbox.
--
-- KEYS[1] session_grants   hash     '<scope id>\n<pid>' -> grant; 'gone' -> receipt
-- KEYS[2] session_wakes    hash     pid -> registration hash
-- KEYS[3] outbox           stream   of the session's partition
-- ARGV[1] request_id   str   16 hex; a repeat of it answers as the first call did
-- ARGV[2] step         str   outbox step; one entry for each 100 of the session's entries
-- RETURNS deleted entry_id.. | nothing
-- INVARIANT an entry of the session is in the hash or in the outbox.
-- CLOCK not used.
local receipt = redis.call('HGET', KEYS[1], 'gone')
if receipt and string.sub(receipt, 1, #ARGV[1]) == ARGV[1] then
  local reply = { 'deleted' }
  for entry_id in string.gmatch(string.sub(receipt, #ARGV[1] + 2), '([^;]+);') do
    reply[#reply + 1] = entry_id
  end
  return reply
end
local entries, entry = {}, nil
local function add(name, value)
  if not entry or #entry >= 2 + 400 then
    entry = { 'o', ARGV[2] }
    entries[#entries + 1] = entry
  end
  local number = string.format('%d', (#entry - 2) / 4)
  entry[#entry + 1], entry[#entry + 2] = number, name
  entry[#entry + 1], entry[#entry + 2] = 'v' .. number, value
end
local grants, wakes = redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])
for index = 1, #grants, 2 do
  if grants[index] ~= '\n' and grants[index] ~= 'gone' then
    add(grants[index], grants[index + 1])
  end
end
for index = 1, #wakes, 2 do
  add('wakes\n' .. wakes[index], wakes[index + 1])
end
redis.call('DEL', KEYS[1], KEYS[2])
if #entries == 0 then
  return { 'nothing' }
end
local reply, kept = { 'deleted' }, ARGV[1] .. ';'
for _, fields in ipairs(entries) do
  local entry_id = redis.call('XADD', KEYS[3], '*', unpack(fields))
  reply[#reply + 1] = entry_id
  kept = kept .. entry_id .. ';'
end
redis.call('HSET', KEYS[1], 'gone', kept)
return reply
