#!lua flags=allow-oom
-- delete_content: delete a blob of one family, if nobody put it since it was listed.
--
-- KEYS[1] blob    string   <record version>;<ms of the last put>;<bytes>
-- KEYS[2] index   zset     <family letter>:<digest> -> µs of the last put
-- ARGV[1] member   str   of the index
-- ARGV[2] put_us   int   as listed; '' = whenever it was put
-- ARGV[3..] others  str   members of the families that keep the bytes
-- RETURNS deleted | kept | absent
-- INVARIANT bytes that another family holds stay, and so do bytes that were put after they were listed.
-- CLOCK not used.
local head = redis.call('GETRANGE', KEYS[1], 0, 24)
if head == '' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 'absent'
end
local listed = redis.call('ZSCORE', KEYS[2], ARGV[1])
local shared = false
for place = 3, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[place]) then
    shared = true
  end
end
if not listed and (shared or ARGV[2] ~= '') then
  return 'absent'
end
if ARGV[2] ~= '' then
  if tonumber(listed) ~= tonumber(ARGV[2]) then
    return 'kept'
  end
  -- A release that knows no index refreshes the age of the blob alone.
  local put_ms = tonumber(string.match(head, '^1;(%d+);') or '')
  if not shared and (not put_ms or put_ms * 1000 > tonumber(listed)) then
    if put_ms then
      redis.call('ZADD', KEYS[2], string.format('%.0f', put_ms * 1000), ARGV[1])
    end
    return 'kept'
  end
end
redis.call('ZREM', KEYS[2], ARGV[1])
if not shared then
  redis.call('DEL', KEYS[1])
end
return 'deleted'
