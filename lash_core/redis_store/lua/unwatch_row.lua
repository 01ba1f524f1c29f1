-- unwatch_row: drop a session's note of a pruned row, unless the id has a new life.
--
-- KEYS[1] session_wakes   hash   pid -> registration hash
-- ARGV[1] process_id   str
-- ARGV[2] hash         str
-- RETURNS ok | other
-- INVARIANT only the note of this registration goes.
-- CLOCK not used.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 'other'
end
redis.call('HDEL', KEYS[1], ARGV[1])
return 'ok'
