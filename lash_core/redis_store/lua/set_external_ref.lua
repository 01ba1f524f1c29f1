-- set_external_ref: name a process in another system; the first name stays.
--
-- KEYS[1] control   hash   the row
-- KEYS[2] changes   zset   pid -> change sequence
-- KEYS[3] meta      hash
-- ARGV[1] process_id     str
-- ARGV[2] external_ref   str   canonical JSON
-- RETURNS set | same | conflict | unknown
-- INVARIANT the first reference never changes.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
local row = redis.call('HMGET', KEYS[1], 'st', 'xr')
if not row[1] then
  return 'unknown'
end
if row[2] then
  return row[2] == ARGV[2] and 'same' or 'conflict'
end
redis.call('HSET', KEYS[1], 'xr', ARGV[2], 'ua', F(now_ms))
bump_change(KEYS[3], KEYS[2], ARGV[1])
return 'set'
