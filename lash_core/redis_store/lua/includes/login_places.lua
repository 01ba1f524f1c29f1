-- Notes what is over before it expires: a redeemed ticket, an ended login. Needs now.lua.
-- note_until(key, name, expires_at_ms, places_max): false where all places are taken, and then nothing is noted.
local function note_until(key, name, expires_at_ms, places_max)
  -- A few at a time: each call adds one, so what is over shrinks.
  local over = redis.call('ZRANGEBYSCORE', key, '-inf', F(now_ms), 'LIMIT', 0, 100)
  if redis.call('ZCARD', key) - #over >= places_max then return false end
  if #over > 0 then redis.call('ZREM', key, unpack(over)) end
  redis.call('ZADD', key, F(expires_at_ms), name)
  return true
end
