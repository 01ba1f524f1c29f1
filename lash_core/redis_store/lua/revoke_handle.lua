-- revoke_handle: take a scope's handle on a process away.
--
-- KEYS[1] grants   hash     scope id -> grant
-- KEYS[2] outbox   stream   the session's side follows by it
-- ARGV[1] scope_id   str
-- ARGV[2] step       str   outbox step
-- RETURNS revoked entry_id | missing
-- INVARIANT works on a row that is gone.
-- CLOCK not used.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return { 'missing' }
end
return { 'revoked', redis.call('XADD', KEYS[2], '*', 'o', ARGV[2]) }
