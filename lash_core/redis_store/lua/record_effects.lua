-- record_effects: write entries of one process's journal under its run's lease; what is stored is answered instead.
--
-- KEYS[1] control  hash    status, counters
-- KEYS[2] owners   hash    process id -> lease
-- KEYS[3] leases   zset    process id -> expiry ms
-- KEYS[4] changes  zset    process id -> change sequence
-- KEYS[5] meta     hash
-- KEYS[6] journal  hash    field -> entry
-- KEYS[7] blobs    hash    field -> outcome over 16 KB
-- KEYS[8] outbox   stream  child starts
-- ARGV[1] process_id    str
-- ARGV[2] fence         str
-- ARGV[3] token         str
-- ARGV[4] acknowledged  int  fenced writes that the caller saw accepted
-- ARGV[5] write_id      str
-- ARGV[6] entries_max   int
-- ARGV[7] bytes_max     int
-- ARGV[8] started       int  number of the arguments that follow here: control fields of the first start
-- ARGV[9..] after these seven an item: field, state letter, kind;hash, delay ms or '', digest tree, outcome, extra (@ = the
--           outcome is for the blobs; of a child start its outbox step)
-- RETURNS ok now_ms fenced_writes, then three an item: n (written), r (stored before) or c (another effect's), the due time or
--         outbox id of a written one or the stored entry, the stored entry's blob
--       | unknown | lost why | behind fenced_writes | limit what
-- INVARIANT a final entry never changes, and a call is one fenced write.
-- INVARIANT a child start is in the journal and in the outbox, or in neither.
-- CLOCK Redis TIME; callers pass delays only.
--- @include now
--- @include bump_change
--- @include fence
--- @include fenced_fact

local base = 8 + tonumber(ARGV[8])
local count = (#ARGV - base) / 7
local function arg(i, n) return ARGV[base + (i - 1) * 7 + n] end
local row = redis.call('HMGET', KEYS[1], 'st', 'wn', 'jb', 'fo')
if not row[1] then return { 'unknown' } end
local writes, bytes, fields = tonumber(row[2] or '0'), tonumber(row[3] or '0'), {}
for i = 1, count do fields[i] = arg(i, 1) end
local stored = redis.call('HMGET', KEYS[6], unpack(fields))

local last, flags, fresh, added, size = {}, {}, 0, 0, bytes
for i = 1, count do
  local state, letter, head = arg(i, 2), nil, nil
  local twin = last[fields[i]]
  if twin then
    letter, head = arg(twin, 2), arg(twin, 3)
  elseif stored[i] then
    letter, head = string.match(stored[i], '^(%a);([^;]*;[^;]*);')
  end
  if head and head ~= arg(i, 3) then
    flags[i] = 'c'
  elseif head and not (letter == 'w' and (state == 'c' or state == 'f')) then
    flags[i] = 'r'
  else
    flags[i], last[fields[i]], fresh = 'n', i, fresh + 1
    if not head then added, size = added + 1, size + #fields[i] + 20 end
    size = size + #arg(i, 3) + #arg(i, 5) + #arg(i, 6)
  end
end

local answers, written, pairs_to_set = {}, {}, {}
if fresh > 0 then
  local refused = fact_fault(writes)
  if refused then return refused end
  if added > 0 and redis.call('HLEN', KEYS[6]) + added > tonumber(ARGV[6]) then return { 'limit', 'journal_entries' } end
  if size > tonumber(ARGV[7]) then return { 'limit', 'journal_bytes' } end
  for i = 1, count do
    if flags[i] == 'n' then
      local field, letter, outcome, extra = fields[i], arg(i, 2), arg(i, 6), arg(i, 7)
      local old, due, tail = written[field] or stored[i], '', outcome
      if old then due = string.match(old, '^%a;[^;]*;[^;]*;([^;]*);') end
      if arg(i, 4) ~= '' then due = F(now_ms + tonumber(arg(i, 4))) end
      answers[i] = due
      if letter == 's' then
        tail = redis.call('XADD', KEYS[8], '*', 'o', extra)
        answers[i] = tail
      elseif extra == '@' then
        redis.call('HSET', KEYS[7], field, outcome)
        tail, bytes = '@', bytes + #field + #outcome
      end
      local text = letter .. ';' .. arg(i, 3) .. ';' .. due .. ';' .. arg(i, 5) .. ';' .. tail
      pairs_to_set[#pairs_to_set + 1] = field
      pairs_to_set[#pairs_to_set + 1] = text
      bytes = bytes + #text - (old and #old or -#field)
      written[field] = text
    end
  end
  redis.call('HSET', KEYS[6], unpack(pairs_to_set))
  writes = writes + 1
  redis.call('HSET', KEYS[1], 'wn', writes, 'wl', ARGV[5] .. ';0', 'jb', F(bytes))
  if base > 8 and not row[4] then
    redis.call('HSET', KEYS[1], 'ua', F(now_ms), unpack(ARGV, 9, base))
    bump_change(KEYS[5], KEYS[4], ARGV[1])
  end
end

local reply = { 'ok', F(now_ms), writes }
for i = 1, count do
  local text, blob = answers[i], ''
  if flags[i] ~= 'n' then
    text = written[fields[i]] or stored[i]
    if string.sub(text, -2) == ';@' then blob = redis.call('HGET', KEYS[7], fields[i]) or '' end
  end
  for _, value in ipairs({ flags[i], text, blob }) do reply[#reply + 1] = value end
end
return reply
