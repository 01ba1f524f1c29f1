-- forget_session: the process's side of a session deletion: its scopes out of the grants, the wake target cleared.
--
-- KEYS[1] control   hash   the row
-- KEYS[2] grants    hash   scope id -> grant; '\n' -> ids of the last steps applied here, newest last
-- KEYS[3] changes   zset   pid -> change sequence
-- KEYS[4] meta      hash
-- ARGV[1] process_id   str
-- ARGV[2] request_id   str   of the deletion and its part
-- ARGV[3] wakes        str   registration hash of the row that wakes the session, '' = it does not
-- ARGV[4..] scope_ids   str
-- RETURNS forgotten status remaining removed | again status remaining removed | gone
-- INVARIANT a second delivery of one deletion changes nothing, so it cannot undo a later grant.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
local row = redis.call('HMGET', KEYS[1], 'st', 'dg', 'wc')
if not row[1] then
  return { 'gone' }
end
local applied = redis.call('HGET', KEYS[2], '\n') or ''
local word, removed = 'again', #ARGV - 3
if not string.find(applied, ARGV[2] .. ';', 1, true) then
  word, removed = 'forgotten', 0
  for index = 4, #ARGV do
    removed = removed + redis.call('HDEL', KEYS[2], ARGV[index])
  end
  if ARGV[3] ~= '' and row[2] == ARGV[3] and not row[3] then
    redis.call('HSET', KEYS[1], 'wc', '1', 'ua', F(now_ms))
    bump_change(KEYS[4], KEYS[3], ARGV[1])
  end
  -- Eight ids: a second delivery is seconds behind the first, not eight steps on the same row.
  applied = applied .. ARGV[2] .. ';'
  local _, count = string.gsub(applied, ';', '')
  if count > 8 then
    applied = string.gsub(applied, '^[^;]*;', '', 1)
  end
  redis.call('HSET', KEYS[2], '\n', applied)
end
local remaining = redis.call('HLEN', KEYS[2])
if redis.call('HEXISTS', KEYS[2], '\n') == 1 then
  remaining = remaining - 1
end
return { word, row[1], remaining, removed }
