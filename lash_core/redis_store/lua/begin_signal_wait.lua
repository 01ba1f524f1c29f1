-- begin_signal_wait: say that a run waits for a signal, on the row and in the log, in one unit.
--
-- KEYS[1] control   hash  the row
-- KEYS[2] owners    hash  process id -> lease
-- KEYS[3] leases    zset  process id -> expiry ms
-- KEYS[4] changes   zset  process id -> change sequence
-- KEYS[5] meta      hash
-- KEYS[6] events    list  the log
-- ARGV[1] process_id     str
-- ARGV[2] fence          str
-- ARGV[3] token          str
-- ARGV[4] acknowledged   int  fenced writes that the caller saw accepted
-- ARGV[5] write_id       str
-- ARGV[6] since          int  ms; of a new wait
-- ARGV[7] wait           str  ordinal;signal name
-- ARGV[8] field          str  replay field of the event
-- ARGV[9] body           str  the event
-- ARGV[10] events_max    int
-- ARGV[11] log_bytes_max int
-- ARGV[12] done_channel  str  channel of those who wait for this process
-- ARGV[13..] control fields of the first start, names and values
-- RETURNS waiting fenced_writes since | again fenced_writes since | unknown | lost why | behind fenced_writes | terminal
--       | limit what
-- INVARIANT the first wait of one ordinal decides since when it waits, over every replay.
-- CLOCK Redis TIME is the time of the event.
--- @include now
--- @include bump_change
--- @include fence
--- @include fenced_fact
--- @include log_event
local facts = redis.call('HMGET', KEYS[1], 'st', 'wn', 'q', 'lb', 'wt', 'fo', ARGV[8])
if not facts[1] then return { 'unknown' } end
local writes, since, stored = tonumber(facts[2] or '0'), ARGV[6], facts[7]
if stored then
  -- lash wrote this event; a signal's name cannot hold a quote.
  since = string.match(redis.call('LINDEX', KEYS[6], stored - 1), '"since_ms":(%d+)') or since
end
local wait = since .. ';' .. ARGV[7]
if stored and facts[5] == wait then return { 'again', writes, since } end
local refused = fact_fault(writes)
if refused then return refused end
if facts[1] ~= 'r' then return { 'terminal' } end
local fields = {}
if not stored then
  local row = { q = facts[3], lb = facts[4] }
  local full = log_fault(row, ARGV[9], ARGV[10], ARGV[11])
  if full then return full end
  fields = log_event(KEYS[6], row, ARGV[8], ARGV[9])
  redis.call('SPUBLISH', ARGV[12], row.q)
end
if not facts[6] then
  for i = 13, #ARGV do fields[#fields + 1] = ARGV[i] end
end
redis.call('HSET', KEYS[1], 'wt', wait, 'ua', F(now_ms), unpack(fields))
writes = count_fact(writes)
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'waiting', writes, since }
