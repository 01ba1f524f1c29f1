-- reserve: stores an occurrence and its deliveries, after making room. Needs now and occurrences.
-- limits: occurrences, their bytes, waiting deliveries, bytes that refuse, occurrences trimmed a call.
local function reserve(occurrence, json, subscriptions, rows, limits)
  local size = #json
  for _, row in ipairs(rows) do size = size + #row end
  if redis.call('ZCARD', RES) + #rows > tonumber(limits[3]) then return 'waiting' end
  local bytes = tonumber(redis.call('HGET', META, 'ob') or '0')
  for _ = 1, tonumber(limits[5]) do
    if redis.call('HLEN', OCC) < tonumber(limits[1]) and bytes + size <= tonumber(limits[2]) then break end
    local oldest = redis.call('ZRANGEBYSCORE', SETTLED, '-inf', '+inf', 'LIMIT', 0, 1)[1]
    if not oldest then break end
    forget_occurrence(oldest)
    bytes = tonumber(redis.call('HGET', META, 'ob') or '0')
  end
  if bytes + size > tonumber(limits[4]) then return 'bytes' end
  local now = F(now_ms)
  local head = '1;' .. now .. ';' .. F(size) .. ';' .. #rows .. ';' .. table.concat(subscriptions)
  redis.call('HSET', OCC, occurrence, head .. ';' .. json)
  redis.call('HINCRBY', META, 'ob', F(size))
  for n, row in ipairs(rows) do
    local delivery = occurrence .. ':' .. subscriptions[n]
    redis.call('HSET', DLV, delivery, row)
    redis.call('ZADD', RES, now, delivery)
  end
  if #rows == 0 then redis.call('ZADD', SETTLED, now, occurrence) end
  return 'reserved'
end

local function subscription_of(row)
  local state, stamp, source, size, first =
    string.match(row or '', '^%d+;(%a);(%d+;%d+);(%x+);(%d+);()')
  if not state or #row - first + 1 ~= tonumber(size) then return nil end
  return { state = state, stamp = stamp, source = source }
end
