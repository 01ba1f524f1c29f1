-- renew_effect: extend the claim of an effect of a scope without a lease.
--
-- KEYS[1] journal  hash  field -> entry
-- KEYS[2] scopes   zset  scope hash -> last touched ms
-- ARGV[1] scope_hash  str
-- ARGV[2] field       str
-- ARGV[3] token       str
-- ARGV[4] ttl_ms      int
-- RETURNS renewed | lost
-- INVARIANT an expired claim is not renewed.
-- CLOCK Redis TIME; callers pass durations only.
--- @include now
local stored = redis.call('HGET', KEYS[1], ARGV[2])
local facts, expiry, token, owner
if stored then
  facts, expiry, token, owner = string.match(stored, '^(i;[^;]*;[^;]*;[^;]*;[^;]*;)(%d+);([^;]*);(.*)$')
end
if token ~= ARGV[3] or tonumber(expiry) <= now_ms then return 'lost' end
redis.call('HSET', KEYS[1], ARGV[2], facts .. F(now_ms + tonumber(ARGV[4])) .. ';' .. token .. ';' .. owner)
redis.call('ZADD', KEYS[2], F(now_ms), ARGV[1])
return 'renewed'
