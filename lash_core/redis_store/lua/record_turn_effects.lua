-- record_turn_effects: write entries of a turn's journal under the session's lease; what is stored is answered instead.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua; then [15] journal (hash field -> entry, '\n' -> its bytes),
--           [16] scopes (zset)
-- ARGV[1] session_id   str
-- ARGV[2] fence        str  of the session's lease, with the owner's digest
-- ARGV[3] lease_token  str
-- ARGV[4] turn_id      str
-- ARGV[5] scope_hash   str
-- ARGV[6] entries_max  int
-- ARGV[7] bytes_max    int
-- ARGV[8] taken_in     str  batches that the open turn takes in, each with a line feed behind it
-- ARGV[9] acknowledged int  writes of the open turn that the caller saw accepted under this lease
-- ARGV[10..] six an item: field, state letter, kind;hash, delay ms or '', digest tree, outcome
-- RETURNS ok now_ms writes, then two an item: n (written), r (stored before) or c (another effect's), the entry as it left it
--       | lost why | behind | limit what
-- INVARIANT a final entry never changes, and a call is one fenced write.
-- INVARIANT a store that lost writes of this turn takes no further ones, so that its journal has no holes.
-- CLOCK Redis TIME; callers pass delays only.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
--- @include session_turn
local keys, count = session_keys(1, ARGV[1]), (#ARGV - 9) / 6
local function arg(i, n) return ARGV[9 + (i - 1) * 6 + n] end
local fault = session_lease_fault(keys, ARGV[2], ARGV[3])
if fault then return { 'lost', fault } end
local is_open = open_turn_id(keys) == ARGV[4]
local writes = is_open and tonumber(redis.call('HGET', keys.head, 'tw') or '0') or 0
if writes < tonumber(ARGV[9]) then return { 'behind' } end
local stored, flags, planned, answers, fresh, added = {}, {}, {}, {}, 0, 0
local bytes = tonumber(redis.call('HGET', KEYS[15], '\n') or '0')
for i = 1, count do
  local field, state = arg(i, 1), arg(i, 2)
  if stored[field] == nil then stored[field] = redis.call('HGET', KEYS[15], field) end
  local old, due = planned[field] or stored[field], ''
  local letter, head
  if old then letter, head, due = string.match(old, '^(%a);([^;]*;[^;]*);([^;]*);') end
  if old and head ~= arg(i, 3) then
    flags[i] = 'c'
  elseif old and not (letter == 'w' and (state == 'c' or state == 'f')) then
    flags[i] = 'r'
  else
    flags[i], fresh = 'n', fresh + 1
    if arg(i, 4) ~= '' then due = F(now_ms + tonumber(arg(i, 4))) end
    local text = state .. ';' .. arg(i, 3) .. ';' .. due .. ';' .. arg(i, 5) .. ';' .. arg(i, 6)
    if old then bytes = bytes - #old else added, bytes = added + 1, bytes + #field end
    planned[field], bytes = text, bytes + #text
  end
  answers[i] = planned[field] or stored[field]
end
if added > 0 and redis.call('HLEN', KEYS[15]) + added > tonumber(ARGV[6]) + 1 then return { 'limit', 'journal_entries' } end
if fresh > 0 and bytes > tonumber(ARGV[7]) then return { 'limit', 'journal_bytes' } end

if fresh > 0 then
  for field, text in pairs(planned) do redis.call('HSET', KEYS[15], field, text) end
  redis.call('HSET', KEYS[15], '\n', F(bytes))
  redis.call('ZADD', KEYS[16], F(now_ms), ARGV[5])
  note_progress(keys, open_turn_id(keys) ~= nil)
  if is_open then writes = redis.call('HINCRBY', keys.head, 'tw', 1) end
end
if ARGV[8] ~= '' and is_open then take_in(keys, ARGV[8]) end
local reply = { 'ok', F(now_ms), writes }
for i = 1, count do
  reply[#reply + 1] = flags[i]
  reply[#reply + 1] = answers[i]
end
return reply
