-- mark_cancel_seen: note when the run saw the cancel request; the first time stays.
--
-- KEYS[1] control   hash   the row
-- KEYS[2] owners    hash   pid -> lease
-- KEYS[3] leases    zset   pid -> expiry
-- ARGV[1] process_id     str
-- ARGV[2] fence       str  with the digest of the owner
-- ARGV[3] token          str
-- ARGV[4] acknowledged   int   fenced writes that the caller saw accepted
-- ARGV[5] write_id       str
-- RETURNS seen fenced_writes | again fenced_writes | none fenced_writes | unknown | lost why | behind fenced_writes
-- INVARIANT a recorded time never changes.
-- CLOCK Redis TIME.
--- @include now
--- @include fence
--- @include fenced_fact
local row = redis.call('HMGET', KEYS[1], 'st', 'wn', 'cs', 'cr', 'wl')
local writes = tonumber(row[2] or '0')
if not row[1] then
  return { 'unknown' }
end
if is_repeat(row[5]) then return { 'again', writes } end
local refused = fact_fault(writes)
if refused then return refused end
if row[3] then
  return { 'again', writes }
end
if not row[4] then
  return { 'none', writes }
end
writes = count_fact(writes)
redis.call('HSET', KEYS[1], 'cs', F(now_ms))
return { 'seen', writes }
