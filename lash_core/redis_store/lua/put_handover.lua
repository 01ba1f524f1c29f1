-- put_handover: store an engine's continuation; the newest two ordinals are kept.
--
-- KEYS[1] control     hash   the row
-- KEYS[2] owners      hash   pid -> lease
-- KEYS[3] leases      zset   pid -> expiry
-- KEYS[4] handovers   hash   ordinal -> JSON
-- ARGV[1] process_id     str
-- ARGV[2] fence          str   '' = not fenced
-- ARGV[3] token          str
-- ARGV[4] acknowledged   int   fenced writes that the caller saw accepted
-- ARGV[5] write_id       str
-- ARGV[6] ordinal        int
-- ARGV[7] handover       str   JSON
-- RETURNS stored fenced_writes | again fenced_writes | unknown | lost why | behind fenced_writes | conflict
-- INVARIANT at most two ordinals, and a stored ordinal never changes.
-- CLOCK Redis TIME.
--- @include now
--- @include fence
--- @include fenced_fact
local row = redis.call('HMGET', KEYS[1], 'st', 'wn')
local writes = tonumber(row[2] or '0')
if not row[1] then
  return { 'unknown' }
end
local kept = redis.call('HGET', KEYS[4], ARGV[6])
if kept == ARGV[7] then
  return { 'again', writes }
end
local refused = fact_fault(writes)
if refused then return refused end
if kept then
  return { 'conflict' }
end
writes = count_fact(writes)
redis.call('HSET', KEYS[4], ARGV[6], ARGV[7])
for _, ordinal in ipairs(redis.call('HKEYS', KEYS[4])) do
  if tonumber(ordinal) < tonumber(ARGV[6]) - 1 then
    redis.call('HDEL', KEYS[4], ordinal)
  end
end
return { 'stored', writes }
