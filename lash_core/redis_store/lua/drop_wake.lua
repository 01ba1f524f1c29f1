-- drop_wake: give up a wake that nobody can take, counted and noted on the row's audit.
--
-- KEYS[1] outbox    stream
-- KEYS[2] control   hash     the row, for its existence
-- KEYS[3] audit     list
-- KEYS[4] meta      hash     n:wake_dropped
-- ARGV[1] entry_id   str
-- ARGV[2] evidence   str   JSON
-- RETURNS dropped | again
-- INVARIANT counted once: with the removal of the entry.
-- CLOCK Redis TIME.
--- @include now
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then
  return 'again'
end
redis.call('HINCRBY', KEYS[4], 'n:wake_dropped', 1)
if redis.call('EXISTS', KEYS[2]) == 1 then
  local entry = '{"at_ms":' .. F(now_ms) .. ',"evidence":' .. ARGV[2] .. ',"kind":"wake_dropped"}'
  redis.call('RPUSH', KEYS[3], entry)
  redis.call('LTRIM', KEYS[3], -50, -1)
end
return 'dropped'
