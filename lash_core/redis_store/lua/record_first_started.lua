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
local row = redis.call('HMGET', KEYS[1], 'st', 'fo', 'wn', 'fi', 'ft')
local writes = tonumber(row[3] or '0')
if not row[1] then
  return { 'unknown' }
end
-- Only the very same start is a repeat: a run that lost its lease must not read another's start as its own.
if row[2] == ARGV[7] and row[4] == ARGV[9] and row[5] == ARGV[11] then
  return { 'again', writes }
end
if ARGV[3] ~= '' then
  local own, expiry = redis.call('HGET', KEYS[2], ARGV[1]), redis.call('ZSCORE', KEYS[3], ARGV[1])
  local fault = lease_fault(own, expiry, ARGV[2], ARGV[3])
  if fault then
    return { 'lost', fault }
  end
  if writes < tonumber(ARGV[4]) then
    return { 'behind', writes }
  end
end
if row[2] then
  return { 'again', writes }
end
if ARGV[3] ~= '' then
  writes = writes + 1
  redis.call('HSET', KEYS[1], 'wn', writes, 'wl', ARGV[5] .. ';0')
end
redis.call('HSET', KEYS[1], 'ua', F(now_ms), unpack(ARGV, 6))
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'recorded', writes }
