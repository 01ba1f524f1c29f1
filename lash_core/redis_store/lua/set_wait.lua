-- set_wait: say what a process waits for, in place of what it waited for before.
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
-- ARGV[6] wait           str
-- RETURNS set fenced_writes | again fenced_writes | unknown | lost why | behind fenced_writes | terminal
-- INVARIANT a terminal row waits for nothing.
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
if row[1] ~= 'r' then
  return { 'terminal' }
end
writes = count_fact(writes)
redis.call('HSET', KEYS[1], 'wt', ARGV[6], 'ua', F(now_ms))
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'set', writes }
