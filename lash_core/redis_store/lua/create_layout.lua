-- create_layout: write a namespace's layout, once for ever.
--
-- KEYS[1] layout   hash   v, write_version, salts, created_at_ms
-- ARGV[1] version         int
-- ARGV[2] write_version   int
-- ARGV[3] salts           str   JSON array, one a partition
-- RETURNS created | exists
-- INVARIANT a layout that is there is never changed.
-- CLOCK Redis TIME.
--- @include now
if redis.call('EXISTS', KEYS[1]) == 1 then return 'exists' end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'write_version', ARGV[2], 'salts', ARGV[3], 'created_at_ms', F(now_ms))
return 'created'
