-- request_drain: ask a worker to stop claiming and finish; it hears of it with its next beat.
--
-- KEYS[1] workers   hash   worker id -> <drain 0 or 1>;<incarnation digest>;<entry JSON>
-- ARGV[1] worker_id   str
-- RETURNS requested | missing
-- INVARIANT the entry itself stays as it is.
-- CLOCK not used.
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if not kept then
  return 'missing'
end
redis.call('HSET', KEYS[1], ARGV[1], '1' .. string.sub(kept, 2))
return 'requested'
