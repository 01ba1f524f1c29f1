-- grant_handle: give a scope a handle on a process; a second grant replaces the descriptor.
--
-- KEYS[1] control   hash     the row, for its existence
-- KEYS[2] grants    hash     scope id -> grant
-- KEYS[3] outbox    stream   the session's side follows by it
-- ARGV[1] scope_id     str
-- ARGV[2] grant        str   JSON
-- ARGV[3] step         str   outbox step
-- ARGV[4] scopes_max   int
-- RETURNS granted entry_id | unknown | full
-- INVARIANT a grant is never without an outbox entry until the session's side has it.
-- CLOCK not used.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return { 'unknown' }
end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then
  return { 'full' }
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { 'granted', redis.call('XADD', KEYS[3], '*', 'o', ARGV[3]) }
