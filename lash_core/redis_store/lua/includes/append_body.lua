-- The body of append_events and complete_process, which differ in one flag: only a completion or a cancel request is let
-- through on a full server. KEYS and ARGV as their headers say. Needs now, bump_change, fence, ready, notify_holder,
-- tell_row.
local control, log, process_id, token = KEYS[1], KEYS[2], ARGV[1], ARGV[4]
local facts = redis.call('HMGET', control, 'st', 'dg', 'q', 'wn', 'wl', 'lb', 'dp', 'at', 'wc', 'cr', 'wt', 'fo', 'ar',
  'pk', 'pw')
local status, sequence = facts[1], tonumber(facts[3] or '0')
local writes = tonumber(facts[4] or '0')
if not status then return { 'unknown' } end
if facts[2] ~= ARGV[2] then return { 'stale' } end

local count = (#ARGV - 14) / 6
local function slot(i, n) return ARGV[14 + (i - 1) * 6 + n] end
local function stored_at(seq)
  local entry = redis.call('LINDEX', log, seq - 1)
  local cut = string.find(entry, ';', 1, true)
  return string.sub(entry, 1, cut - 1), string.sub(entry, cut + 1)
end

local seqs, times, flags, outbox, firsts, twins, fresh, told = {}, {}, {}, {}, {}, {}, 0, ''
for i = 1, count do
  local field = slot(i, 1)
  local known = field ~= '' and redis.call('HGET', control, field)
  if known then
    local ms, body = stored_at(tonumber(known))
    if body ~= slot(i, 2) then return { 'conflict', i } end
    seqs[i], times[i], flags[i] = tonumber(known), ms, 'r'
  elseif field ~= '' and firsts[field] then
    if slot(firsts[field], 2) ~= slot(i, 2) then return { 'conflict', i } end
    twins[i] = firsts[field]
  else
    if field ~= '' then firsts[field] = i end
    fresh = fresh + 1
  end
end

local function answer()
  local reply = { 'ok', F(now_ms), writes, status, facts[9] or '', told, told ~= '' and facts[15] or '' }
  for i = 1, count do
    local from = twins[i] or i
    local flag = twins[i] and 'r' or flags[i]
    for _, value in ipairs({ F(seqs[from]), times[from], flag, outbox[i] or '' }) do reply[#reply + 1] = value end
  end
  return reply
end
if fresh == 0 then return answer() end

local write_id, first = string.match(facts[5] or '', '^(%x+);(%d+)$')
if token ~= '' and write_id == ARGV[6] then
  local at = tonumber(first)
  for i = 1, count do
    if not seqs[i] and not twins[i] then
      seqs[i], flags[i] = at, 'r'
      times[i] = stored_at(at)
    end
    if seqs[i] and seqs[i] >= at then at = seqs[i] + 1 end
  end
  return answer()
end

local own = redis.call('HGET', KEYS[3], process_id)
if token ~= '' then
  local fault = lease_fault(own, redis.call('ZSCORE', KEYS[4], process_id), ARGV[3], token)
  if fault then return { 'lost', fault } end
  if writes < tonumber(ARGV[5]) then return { 'behind', writes } end
end
local ended, size, total = status ~= 'r', tonumber(facts[6] or '0'), sequence
local cancel = false
for i = 1, count do
  if not seqs[i] and not twins[i] then
    local kind = slot(i, 3)
    if slot(i, 4) ~= '' then return { 'invalid', i } end
    size, total = size + #slot(i, 2), total + 1
    if string.sub(kind, 1, 1) == 't' then
      if ended then return { 'terminal', status } end
      ended = true
    elseif kind == 'c' then
      cancel = true
    else
      if total > tonumber(ARGV[7]) then return { 'limit', 'events' } end
      if size > tonumber(ARGV[8]) then return { 'limit', 'log_bytes' } end
    end
  end
end

local now = F(now_ms)
local fields, terminal = {}, nil
local function write(field, body)
  sequence = sequence + 1
  redis.call('RPUSH', log, now .. ';' .. body)
  if field ~= '' then
    fields[#fields + 1] = field
    fields[#fields + 1] = F(sequence)
  end
end
local first_sequence = sequence + 1
for i = 1, count do
  if not seqs[i] and not twins[i] then
    local kind = slot(i, 3)
    write(slot(i, 1), slot(i, 2))
    seqs[i], times[i], flags[i] = sequence, now, 'n'
    if kind == 'c' and not facts[10] then
      redis.call('HSET', control, 'cr', now .. ';' .. F(sequence))
      if ARGV[12] ~= '' then redis.call('HSET', control, 'cb', ARGV[12]) end
      facts[10] = now
    elseif string.sub(kind, 1, 1) == 't' then
      terminal = string.sub(kind, 2)
      fields[#fields + 1] = 'te'
      fields[#fields + 1] = F(sequence)
    end
    if slot(i, 5) ~= '' and (slot(i, 6) == 'o' or not facts[9]) then
      outbox[i] = redis.call('XADD', KEYS[10], '*', 'o', slot(i, 5), 'q', F(sequence))
    end
  end
end
-- Decision 21: what was never claimed ends here, worker or not.
if cancel and not ended and not own and facts[7] ~= 'e' and tonumber(facts[8] or '0') == 0 then
  write(ARGV[13], ARGV[14])
  size, terminal = size + #ARGV[14], 'x'
  fields[#fields + 1] = 'te'
  fields[#fields + 1] = F(sequence)
end
if token ~= '' then
  writes = writes + 1
  redis.call('HSET', control, 'wn', writes, 'wl', ARGV[6] .. ';' .. F(first_sequence))
end
redis.call('HSET', control, 'q', F(sequence), 'lb', F(size), 'ua', now, unpack(fields))
bump_change(KEYS[7], KEYS[8], process_id)

if terminal then
  redis.call('ZREM', KEYS[6], process_id)
  redis.call('HDEL', control, 'wt', 'pw')
  redis.call('HSET', control, 'st', terminal)
  redis.call('HINCRBY', KEYS[7], 'n:r', -1)
  redis.call('HINCRBY', KEYS[7], 'n:' .. terminal, 1)
  redis.call('XADD', KEYS[9], 'MAXLEN', '~', ARGV[9], '*', 'k', 'done', 'p', process_id)
  if facts[15] then told = redis.call('XADD', KEYS[10], '*', 'o', '{"op":"told"}', 'p', process_id, 'w', facts[15]) end
  status = terminal
end
if token == '' then
  local row = { st = status, dp = facts[7], at = facts[8], wt = facts[11], fo = facts[12], ar = facts[13], pk = facts[14] }
  local keys = { owners = KEYS[3], marks = KEYS[5], queue = KEYS[6], notices = KEYS[9] }
  local kind = (cancel and status == 'r' and facts[7] ~= 'e') and 'cancel' or 'signal'
  tell_row(row, keys, process_id, kind, ARGV[9], ARGV[10])
end
redis.call('SPUBLISH', ARGV[11], F(sequence))
return answer()
