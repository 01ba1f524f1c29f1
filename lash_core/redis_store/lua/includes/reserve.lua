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
  -- In parts: a command for each delivery costs three times as much, and arguments of one call are bounded.
  for first = 1, #rows, 500 do
    local snapshots, waits = {}, {}
    for n = first, math.min(first + 499, #rows) do
      local delivery, place = occurrence .. ':' .. subscriptions[n], #waits
      snapshots[place + 1], snapshots[place + 2] = delivery, rows[n]
      waits[place + 1], waits[place + 2] = now, delivery
    end
    redis.call('HSET', DLV, unpack(snapshots))
    redis.call('ZADD', RES, unpack(waits))
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
