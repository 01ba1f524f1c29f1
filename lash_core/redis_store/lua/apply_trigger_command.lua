-- apply_trigger_command: write a decided mutation of subscriptions and its receipt, if nothing has changed since it was
-- decided; or find the receipt of its operation id.
--
-- KEYS[1] subscriptions  hash   subscription -> row
-- KEYS[2] sources        zset   <source>:<subscription> of the live ones
-- KEYS[3] owners         zset   <owner>:<subscription> of all
-- KEYS[4] due            zset   subscription -> ms of its next tick
-- KEYS[5] receipts       hash   <owner>:<operation> -> <ms>;<request hash>;<result>
-- KEYS[6] receipt_times  zset   <owner>:<operation> -> ms
-- KEYS[7] meta           hash   bytes of receipts
-- ARGV[1] receipt            str   <owner>:<operation>
-- ARGV[2] receipt_text       str   <request hash>;<result>
-- ARGV[3] subscriptions_max  int
-- ARGV[4] source_max         int   live subscriptions of one source
-- ARGV[5] receipts_max       int
-- ARGV[6] receipt_bytes_max  int
-- ARGV[7..] six a subscription: its name, the row's state and stamp when it was decided ('' = none), put or drop or keep,
--           the new row, its owner, its next tick in ms or '' = none or keep
-- RETURNS done | changed | receipt <text> | full <subscriptions or source>
-- INVARIANT a mutation and its receipt are there together or not at all; a receipt never changes.
-- INVARIANT sources names the live subscriptions, and no others.
-- CLOCK Redis TIME.
--- @include now
local function parts_of(row)
  local state, stamp, source = string.match(row or '', '^%d+;(%a);(%d+;%d+);(%x+);')
  return state, stamp, source
end

local known = redis.call('HGET', KEYS[5], ARGV[1])
if known then return { 'receipt', known } end
local count = (#ARGV - 6) / 6
local added, source_full = 0, false
for n = 1, count do
  local a = 6 + (n - 1) * 6
  local name, expected, action, row = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4]
  local state, stamp, source = parts_of(redis.call('HGET', KEYS[1], name))
  if (state and state .. ';' .. stamp or '') ~= expected then return { 'changed' } end
  if action == 'put' then
    if not state then added = added + 1 end
    local new_state, _, new_source = parts_of(row)
    if new_state == 'e' and not (state == 'e' and source == new_source) then
      local live = redis.call('ZLEXCOUNT', KEYS[2], '[' .. new_source .. ':', '(' .. new_source .. ';')
      source_full = source_full or live >= tonumber(ARGV[4])
    end
  end
end
if added > 0 and redis.call('HLEN', KEYS[1]) + added > tonumber(ARGV[3]) then return { 'full', 'subscriptions' } end
if source_full then return { 'full', 'source' } end

for n = 1, count do
  local a = 6 + (n - 1) * 6
  local name, action, row, owner, due = ARGV[a + 1], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
  if action ~= 'keep' then
    local state, _, source = parts_of(redis.call('HGET', KEYS[1], name))
    if state == 'e' then redis.call('ZREM', KEYS[2], source .. ':' .. name) end
    if action == 'drop' then
      redis.call('HDEL', KEYS[1], name)
      redis.call('ZREM', KEYS[3], owner .. ':' .. name)
    else
      local new_state, _, new_source = parts_of(row)
      redis.call('HSET', KEYS[1], name, row)
      redis.call('ZADD', KEYS[3], 0, owner .. ':' .. name)
      if new_state == 'e' then redis.call('ZADD', KEYS[2], 0, new_source .. ':' .. name) end
    end
    if action == 'drop' or due == '' then
      redis.call('ZREM', KEYS[4], name)
    elseif due ~= 'keep' then
      redis.call('ZADD', KEYS[4], due, name)
    end
  end
end

local text = F(now_ms) .. ';' .. ARGV[2]
redis.call('HSET', KEYS[5], ARGV[1], text)
redis.call('ZADD', KEYS[6], F(now_ms), ARGV[1])
local bytes = redis.call('HINCRBY', KEYS[7], 'rb', #text)
for _ = 1, 16 do
  if redis.call('HLEN', KEYS[5]) <= tonumber(ARGV[5]) and bytes <= tonumber(ARGV[6]) then break end
  local oldest = redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', '+inf', 'LIMIT', 0, 1)[1]
  if not oldest or oldest == ARGV[1] then break end
  bytes = redis.call('HINCRBY', KEYS[7], 'rb', -#(redis.call('HGET', KEYS[5], oldest) or ''))
  redis.call('HDEL', KEYS[5], oldest)
  redis.call('ZREM', KEYS[6], oldest)
end
return { 'done' }
