-- touch_content: refresh the age of a blob as a put would, without its bytes.
--
-- KEYS[1] blob    string   <record version>;<ms of the last put>;<bytes>
-- KEYS[2] index   zset     <family letter>:<digest> -> µs of the last put
-- ARGV[1] member   str   of the index
-- RETURNS touched | absent
-- INVARIANT the bytes stay; a blob of a form that this release does not know is left alone and counts as touched.
-- CLOCK Redis TIME.
--- @include now
local head = redis.call('GETRANGE', KEYS[1], 0, 24)
if head == '' then
  return 'absent'
end
local last = string.match(head, '^1;(%d+);')
if last then
  local put_us = math.max(now_us, tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0') + 1)
  local put_ms = F(math.floor(put_us / 1000))
  -- The same number of digits until the year 2286, so the bytes behind them do not move.
  if #put_ms == #last then
    redis.call('SETRANGE', KEYS[1], 2, put_ms)
  else
    redis.call('SET', KEYS[1], '1;' .. put_ms .. ';' .. string.sub(redis.call('GET', KEYS[1]), #last + 4))
  end
  redis.call('ZADD', KEYS[2], F(put_us), ARGV[1])
end
return 'touched'
