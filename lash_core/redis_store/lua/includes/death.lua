-- Counts the end of a lease by the death of its owner. Needs now.lua and fence.lua.
-- Deaths count in a row without progress: a fenced write accepted since the last death starts the count again.
-- count_death(control_key, audit_key, own_value, identity, reason): deaths after this one.
local function count_death(control_key, audit_key, own_value, identity, reason)
  local facts = redis.call('HMGET', control_key, 'wn', 'dw', 'dt')
  local writes = facts[1] or '0'
  local deaths = 1
  if facts[2] == writes then deaths = tonumber(facts[3] or '0') + 1 end
  redis.call('HSET', control_key, 'dt', deaths, 'dw', writes)
  redis.call('HINCRBY', control_key, 'at', 1)
  local fence, claimed, digest, mode, _, token = parse_own(own_value)
  local attempt = ''
  if mode == 'b' then attempt = ',"attempt":"' .. token .. '"' end
  redis.call('RPUSH', audit_key, '{"at_ms":' .. F(now_ms) .. ',"evidence":{"claimed_at_ms":' .. claimed
    .. ',"deaths":' .. deaths .. ',"fence":' .. fence .. ',"owner":' .. (identity or '"' .. digest .. '"') .. attempt
    .. ',"reason":"' .. reason .. '"},"kind":"death"}')
  redis.call('LTRIM', audit_key, -50, -1)
  return deaths
end
