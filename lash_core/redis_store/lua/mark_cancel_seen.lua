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
local row = redis.call('HMGET', KEYS[1], 'st', 'wn', 'cs', 'cr', 'wl')
local writes = tonumber(row[2] or '0')
if not row[1] then
  return { 'unknown' }
end
if string.match(row[5] or '', '^%x+') == ARGV[5] then
  return { 'again', writes }
end
local own, expiry = redis.call('HGET', KEYS[2], ARGV[1]), redis.call('ZSCORE', KEYS[3], ARGV[1])
local fault = lease_fault(own, expiry, ARGV[2], ARGV[3])
if fault then
  return { 'lost', fault }
end
if writes < tonumber(ARGV[4]) then
  return { 'behind', writes }
end
if row[3] then
  return { 'again', writes }
end
if not row[4] then
  return { 'none', writes }
end
writes = writes + 1
redis.call('HSET', KEYS[1], 'wn', writes, 'wl', ARGV[5] .. ';0', 'cs', F(now_ms))
return { 'seen', writes }
