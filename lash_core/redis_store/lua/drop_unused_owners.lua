-- drop_unused_owners: drop identities that no lease of the partition names, with their last claims' receipts.
--
-- KEYS[1] identities   hash   owner digest -> identity
-- KEYS[2] owners       hash   pid -> lease
-- KEYS[3] receipts     hash   owner digest -> last claim
-- ARGV[1] limit        int
-- ARGV[2] leases_max   int   with more leases than this the partition is left alone, so that the call stays short
-- RETURNS (dropped)
-- INVARIANT an identity that a lease names stays.
-- CLOCK not used.
if redis.call('HLEN', KEYS[2]) > tonumber(ARGV[2]) then
  return 0
end
local named = {}
for _, own in ipairs(redis.call('HVALS', KEYS[2])) do
  named[string.match(own, '^%d+;%d+;(%x+);') or ''] = true
end
local dropped = 0
for _, digest in ipairs(redis.call('HKEYS', KEYS[1])) do
  if dropped < tonumber(ARGV[1]) and not named[digest] then
    redis.call('HDEL', KEYS[1], digest)
    redis.call('HDEL', KEYS[3], digest)
    dropped = dropped + 1
  end
end
return dropped
