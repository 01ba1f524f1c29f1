-- occurrences: how occurrences and their deliveries are kept. Before it a script names their keys: OCC, SETTLED, DLV,
-- RES, FAIL, META. An occurrence's row names its subscriptions, so that nothing has to be searched for.
local function occurrence_of(row)
  local at, bytes, count, first = string.match(row or '', '^%d+;(%d+);(%d+);(%d+);()')
  if not at then return nil end
  local subscriptions = {}
  for n = 1, tonumber(count) do
    subscriptions[n] = string.sub(row, first + (n - 1) * 64, first + n * 64 - 1)
  end
  return { at = at, bytes = bytes, subscriptions = subscriptions, json = string.sub(row, first + #subscriptions * 64 + 1) }
end

local function forget_occurrence(occurrence)
  local found = occurrence_of(redis.call('HGET', OCC, occurrence))
  if found then
    for _, subscription in ipairs(found.subscriptions) do
      local delivery = occurrence .. ':' .. subscription
      redis.call('HDEL', DLV, delivery)
      redis.call('HDEL', FAIL, delivery)
      redis.call('ZREM', RES, delivery)
    end
    redis.call('HINCRBY', META, 'ob', '-' .. found.bytes)
  end
  redis.call('HDEL', OCC, occurrence)
  redis.call('ZREM', SETTLED, occurrence)
end

local function note_if_settled(occurrence)
  local found = occurrence_of(redis.call('HGET', OCC, occurrence))
  if not found then return end
  for _, subscription in ipairs(found.subscriptions) do
    if redis.call('ZSCORE', RES, occurrence .. ':' .. subscription) then return end
  end
  redis.call('ZADD', SETTLED, found.at, occurrence)
end
