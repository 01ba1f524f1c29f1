-- watch_row: note at a session that a row wakes it, so that deleting the session finds the row.
--
-- KEYS[1] session_wakes   hash   pid -> registration hash
-- ARGV[1] process_id   str
-- ARGV[2] hash         str
-- RETURNS ok
-- INVARIANT one note a row.
-- CLOCK not used.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 'ok'
