-- Gives one row to one owner under a new lease. Needs now.lua. The fence is a hybrid clock: it rises for ever, also over
-- a failover that lost writes, a prune and a new start of the id.
-- take_lease(keys, process_id, digest, identity, mode, queue, token, ttl_ms): value of T:own.
local function next_fence(meta_key, count, ttl_ms)
  local facts = redis.call('HMGET', meta_key, 'f', 'ttl')
  local first = math.max(tonumber(facts[1] or '0') + 1, now_us)
  redis.call('HSET', meta_key, 'f', F(first + count - 1))
  if ttl_ms > tonumber(facts[2] or '0') then redis.call('HSET', meta_key, 'ttl', F(ttl_ms)) end
  return first
end
local function take_lease(keys, process_id, digest, identity, mode, queue, token, ttl_ms)
  local fence = next_fence(keys.meta, 1, ttl_ms)
  local value = F(fence) .. ';' .. F(now_ms) .. ';' .. digest .. ';' .. mode .. ';' .. queue .. ';' .. token
  redis.call('HSET', keys.owners, process_id, value)
  redis.call('ZADD', keys.leases, F(now_ms + ttl_ms), process_id)
  redis.call('HDEL', keys.marks, process_id)
  redis.call('HSET', keys.identities, digest, identity)
  redis.call('ZREM', keys.queue, process_id)
  return value
end
