-- record_first_started: record who ran a process first and when; the first writer wins.
--
-- KEYS[1] control   hash   the row
-- KEYS[2] owners    hash   pid -> lease
-- KEYS[3] leases    zset   pid -> expiry
-- KEYS[4] changes   zset   pid -> change sequence
-- KEYS[5] meta      hash
-- ARGV[1] process_id     str
-- ARGV[2] fence          str   '' = not fenced
-- ARGV[3] token          str
-- ARGV[4] acknowledged   int   fenced writes that the caller saw accepted
-- ARGV[5] write_id       str
-- ARGV[6..] fields       str   control fields of the start, names and values; fo, fi, ft come first
-- RETURNS recorded fenced_writes | again fenced_writes | unknown | lost why | behind fenced_writes
-- INVARIANT a recorded start never changes.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include fence
--- @include fenced_fact
local row = redis.call('HMGET', KEYS[1], 'st', 'fo', 'wn', 'fi', 'ft')
local writes = tonumber(row[3] or '0')
if not row[1] then
  return { 'unknown' }
end
-- Only the very same start is a repeat: a run that lost its lease must not read another's start as its own.
if row[2] == ARGV[7] and row[4] == ARGV[9] and row[5] == ARGV[11] then
  return { 'again', writes }
end
local refused = fact_fault(writes)
if refused then return refused end
if row[2] then
  return { 'again', writes }
end
writes = count_fact(writes)
redis.call('HSET', KEYS[1], 'ua', F(now_ms), unpack(ARGV, 6))
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'recorded', writes }
