#!lua flags=allow-oom
-- delete_content: delete a blob of one family, if nobody put it since it was listed.
--
-- KEYS[1] blob    string   <record version>;<ms of the last put>;<bytes>
-- KEYS[2] index   zset     <family letter>:<digest> -> ms of the last put
-- ARGV[1] member   str   of the index
-- ARGV[2] put_ms   int   as listed; '' = whenever it was put
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
if ARGV[2] ~= '' then
  local put_ms = string.match(head, '^1;(%d+);')
  if not put_ms or not listed or put_ms ~= ARGV[2] then
    -- A release that knows no index refreshed the age of the blob alone.
    if put_ms and listed and tonumber(put_ms) > tonumber(listed) then
      redis.call('ZADD', KEYS[2], put_ms, ARGV[1])
    end
    return 'kept'
  end
end
local shared = false
for place = 3, #ARGV do
  if redis.call('ZSCORE', KEYS[2], ARGV[place]) then
    shared = true
  end
end
if shared and not listed then
  return 'absent'
end
redis.call('ZREM', KEYS[2], ARGV[1])
if not shared then
  redis.call('DEL', KEYS[1])
end
return 'deleted'
