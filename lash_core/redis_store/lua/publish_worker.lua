-- publish_worker: a worker's beat; says whether a drain of it was asked for.
--
-- KEYS[1] workers   hash   worker id -> <drain 0 or 1>;<incarnation digest>;<entry JSON>
-- KEYS[2] beats     zset   worker id -> time of the last beat, ms
-- ARGV[1] worker_id     str
-- ARGV[2] incarnation   str   16 hex; another one forgets a drain that was asked of the former
-- ARGV[3] entry         str   JSON
-- ARGV[4] silent_ms     int   entries that were silent longer are dropped, at most 100 a call
-- ARGV[5] workers_max   int   the quietest entry makes room for a new one
-- RETURNS drain | beat
-- INVARIANT both keys name the same workers, at most workers_max.
-- CLOCK Redis TIME.
--- @include now
local silent = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. F(now_ms - tonumber(ARGV[4])), 'LIMIT', 0, 100)
if redis.call('ZSCORE', KEYS[2], ARGV[1]) == false and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then
  silent[#silent + 1] = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
end
for _, worker_id in ipairs(silent) do
  redis.call('ZREM', KEYS[2], worker_id)
  redis.call('HDEL', KEYS[1], worker_id)
end
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local drain = '0'
if kept and string.sub(kept, 1, 1) == '1' and string.sub(kept, 3, 2 + #ARGV[2]) == ARGV[2] then
  drain = '1'
end
redis.call('HSET', KEYS[1], ARGV[1], drain .. ';' .. ARGV[2] .. ';' .. ARGV[3])
redis.call('ZADD', KEYS[2], F(now_ms), ARGV[1])
if drain == '1' then
  return 'drain'
end
return 'beat'
