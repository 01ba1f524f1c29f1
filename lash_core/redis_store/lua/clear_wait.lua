-- clear_wait: a process waits for nothing any more; on a terminal row too.
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
-- RETURNS cleared fenced_writes | again fenced_writes | unknown | lost why | behind fenced_writes
-- INVARIANT the time of the row moves with every call that is not a repeat.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include fence
--- @include fenced_fact
local row = redis.call('HMGET', KEYS[1], 'st', 'wn', 'wl')
local writes = tonumber(row[2] or '0')
if not row[1] then
  return { 'unknown' }
end
if is_repeat(row[3]) then return { 'again', writes } end
local refused = fact_fault(writes)
if refused then return refused end
writes = count_fact(writes)
redis.call('HDEL', KEYS[1], 'wt')
redis.call('HSET', KEYS[1], 'ua', F(now_ms))
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'cleared', writes }
