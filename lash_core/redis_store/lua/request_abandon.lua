-- request_abandon: allow a process to be abandoned; the first request stays. Its row is due now, so that a worker looks.
--
-- KEYS[1] control   hash     the row
-- KEYS[2] queue     zset     pid -> due ms, the row's own queue
-- KEYS[3] changes   zset     pid -> change sequence
-- KEYS[4] meta      hash
-- KEYS[5] notices   stream
-- ARGV[1] process_id     str
-- ARGV[2] hash           str   the registration that the caller took the queue from
-- ARGV[3] at_ms          int   time of the request
-- ARGV[4] requested_by   str
-- ARGV[5] reason         str   '' with has_reason 0
-- ARGV[6] has_reason     str   1 or 0
-- ARGV[7] notices_max    int
-- RETURNS requested | again | unknown | stale | terminal
-- INVARIANT a running row stays in exactly one of its queue and the lease set.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include ready
local row = redis.call('HMGET', KEYS[1], 'st', 'dg', 'ar')
if not row[1] then
  return 'unknown'
end
if row[2] ~= ARGV[2] then
  return 'stale'
end
if row[1] ~= 'r' then
  return 'terminal'
end
if row[3] then
  return 'again'
end
redis.call('HSET', KEYS[1], 'ar', ARGV[3], 'ab', ARGV[4], 'ua', F(now_ms))
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'aw', ARGV[5])
end
bump_change(KEYS[4], KEYS[3], ARGV[1])
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if due and (due == 'inf' or tonumber(due) > now_ms) then
  put_ready(KEYS[2], ARGV[1], F(now_ms), KEYS[5], ARGV[7])
end
return 'requested'
