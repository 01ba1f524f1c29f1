-- transfer_handles: take handles from their source scope, all or none, and leave their way to the target in the outbox.
--
-- KEYS[1] session_grants   hash     '<scope id>\n<pid>' -> grant; '\n' -> the last transfers, newest last
-- KEYS[2] outbox           stream   of the source session's partition
-- ARGV[1] request_id     str   16 hex; a repeat of it changes nothing
-- ARGV[2] step           str   outbox step
-- ARGV[3] scope_id       str   the source
-- ARGV[4..] process_ids   str
-- RETURNS moved entry_id | again entry_id | missing process_id
-- INVARIANT a handle under way is in neither scope, and in the outbox.
-- CLOCK not used.
local receipts = redis.call('HGET', KEYS[1], '\n') or ''
local at = string.find(receipts, ARGV[1] .. '=', 1, true)
if at then
  return { 'again', string.match(receipts, '=([^;]+);', at) }
end
local entry, removed = { 'o', ARGV[2] }, {}
for index = 4, #ARGV do
  local field = ARGV[3] .. '\n' .. ARGV[index]
  local grant = redis.call('HGET', KEYS[1], field)
  if not grant then
    return { 'missing', ARGV[index] }
  end
  local number = string.format('%d', index - 4)
  entry[#entry + 1], entry[#entry + 2] = number, ARGV[index]
  entry[#entry + 1], entry[#entry + 2] = 'v' .. number, grant
  removed[#removed + 1] = field
end
for first = 1, #removed, 1000 do
  redis.call('HDEL', KEYS[1], unpack(removed, first, math.min(first + 999, #removed)))
end
local entry_id = redis.call('XADD', KEYS[2], '*', unpack(entry))
-- Sixteen receipts: a repeat comes at once, not after sixteen other transfers out of the same session.
local kept = receipts .. ARGV[1] .. '=' .. entry_id .. ';'
local _, count = string.gsub(kept, ';', '')
if count > 16 then
  kept = string.gsub(kept, '^[^;]*;', '', 1)
end
redis.call('HSET', KEYS[1], '\n', kept)
return { 'moved', entry_id }
