-- end_signal_wait: a run waits for this signal no longer; when it came, the log says so in the same unit.
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
-- ARGV[6] wait           str  ordinal;signal name
-- ARGV[7] field          str  replay field of the event
-- ARGV[8] body           str  the event; '' = the signal did not come
-- ARGV[9] events_max     int
-- ARGV[10] log_bytes_max int
-- ARGV[11] done_channel  str  channel of those who wait for this process
-- RETURNS ended fenced_writes | again fenced_writes | unknown | lost why | behind fenced_writes | limit what
-- INVARIANT another wait that was set meanwhile stays.
-- CLOCK Redis TIME is the time of the event.
--- @include now
--- @include bump_change
--- @include fence
--- @include fenced_fact
--- @include log_event
local facts = redis.call('HMGET', KEYS[1], 'st', 'wn', 'q', 'lb', 'wt', ARGV[7])
if not facts[1] then return { 'unknown' } end
local writes = tonumber(facts[2] or '0')
local waits = facts[5] and string.match(facts[5], '^%d+;(.*)$') == ARGV[6]
local resumes = ARGV[8] ~= '' and not facts[6] and facts[1] == 'r'
if not waits and not resumes then return { 'again', writes } end
local refused = fact_fault(writes)
if refused then return refused end
local row, fields = { q = facts[3], lb = facts[4] }, {}
if resumes then
  local full = log_fault(row, ARGV[8], ARGV[9], ARGV[10])
  if full then return full end
  fields = log_event(KEYS[6], row, ARGV[7], ARGV[8])
  redis.call('SPUBLISH', ARGV[11], row.q)
end
if waits then redis.call('HDEL', KEYS[1], 'wt') end
redis.call('HSET', KEYS[1], 'ua', F(now_ms), unpack(fields))
writes = count_fact(writes)
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'ended', writes }
