-- ingest_occurrence: store an occurrence and reserve a delivery for each live subscription of its source.
--
-- KEYS[1] subscriptions  hash   subscription -> row
-- KEYS[2] sources        zset   <source>:<subscription> of the live ones
-- KEYS[3] occurrences    hash   occurrence -> row
-- KEYS[4] settled        zset   occurrence -> ms, those of which nothing waits
-- KEYS[5] deliveries     hash   <occurrence>:<subscription> -> the subscription's row as it was
-- KEYS[6] waiting        zset   <occurrence>:<subscription> -> ms
-- KEYS[7] failures       hash   <occurrence>:<subscription> -> reason
-- KEYS[8] meta           hash   bytes of occurrences
-- ARGV[1] occurrence   str   64 hex
-- ARGV[2] source       str   32 hex
-- ARGV[3] json         str   names and payload; equal bytes are the same occurrence
-- ARGV[4..] limits     int   occurrences, bytes, waiting, bytes that refuse, trimmed a call
-- RETURNS created, ms, then subscription and row of each delivery
--         | exists, row, then subscription, row or '', waiting or started or failed, reason or '' of each delivery
--         | conflict | waiting | bytes
-- INVARIANT an occurrence and its deliveries are there together or not at all, and are reserved once.
-- INVARIANT a row that cannot be read is skipped.
-- CLOCK Redis TIME.
--- @include now
local OCC, SETTLED, DLV, RES, FAIL, META = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
--- @include occurrences
--- @include reserve
local occurrence, source = ARGV[1], ARGV[2]
local stored = redis.call('HGET', OCC, occurrence)
if stored then
  local found = occurrence_of(stored)
  if not found or found.json ~= ARGV[3] then return { 'conflict' } end
  local reply = { 'exists', stored }
  for _, subscription in ipairs(found.subscriptions) do
    local delivery = occurrence .. ':' .. subscription
    local row = redis.call('HGET', DLV, delivery)
    local reason = redis.call('HGET', FAIL, delivery)
    local state = 'started'
    if redis.call('ZSCORE', RES, delivery) then
      state = 'waiting'
    elseif reason then
      state = 'failed'
    end
    reply[#reply + 1], reply[#reply + 2] = subscription, row or ''
    reply[#reply + 1], reply[#reply + 2] = state, reason or ''
  end
  return reply
end
local members = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. source .. ':', '(' .. source .. ';')
local subscriptions, rows = {}, {}
for first = 1, #members, 500 do
  local names = {}
  for n = first, math.min(first + 499, #members) do
    names[#names + 1] = string.sub(members[n], #source + 2)
  end
  for n, row in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
    local found = subscription_of(row)
    if found and found.state == 'e' and found.source == source then
      subscriptions[#subscriptions + 1], rows[#rows + 1] = names[n], row
    end
  end
end
local word = reserve(occurrence, ARGV[3], subscriptions, rows, { ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8] })
if word ~= 'reserved' then return { word } end
local reply = { 'created', F(now_ms) }
for n, row in ipairs(rows) do
  reply[#reply + 1], reply[#reply + 2] = subscriptions[n], row
end
return reply
