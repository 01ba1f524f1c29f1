-- remove_worker: take a worker out of the directory.
--
-- KEYS[1] workers   hash   worker id -> entry
-- KEYS[2] beats     zset   worker id -> time of the last beat, ms
-- ARGV[1] worker_id   str
-- RETURNS removed | missing
-- INVARIANT both keys name the same workers.
-- CLOCK not used.
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  return 'removed'
end
return 'missing'
