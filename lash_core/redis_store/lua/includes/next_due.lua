-- When the next row of some queues becomes due. Needs now.lua.
-- next_due(first, last): ms, '0' = never by itself; first and last are places of the queues in KEYS.
local function next_due(first, last)
  local earliest
  for q = first, last do
    local due = tonumber(redis.call('ZRANGEBYSCORE', KEYS[q], '(' .. F(now_ms), '(inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
    if due and (not earliest or due < earliest) then earliest = due end
  end
  return earliest and F(earliest) or '0'
end
