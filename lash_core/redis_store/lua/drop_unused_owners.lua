-- drop_unused_owners: drop identities that no lease of the partition names, with their last claims' receipts.
--
-- KEYS[1] identities       hash   owner digest -> identity
-- KEYS[2] owners           hash   pid -> lease
-- KEYS[3] receipts         hash   owner digest -> last claim of rows; 's' and owner digest -> last claim of sessions
-- KEYS[4] session_leases   hash   sid -> lease
-- ARGV[1] limit        int
-- ARGV[2] leases_max   int   with more leases than this the partition is left alone, so that the call stays short
-- RETURNS (dropped)
-- INVARIANT an identity that a lease of a row or of a session names stays.
-- CLOCK not used.
if redis.call('HLEN', KEYS[2]) + redis.call('HLEN', KEYS[4]) > tonumber(ARGV[2]) then
  return 0
end
local named = {}
for _, key in ipairs({ KEYS[2], KEYS[4] }) do
  for _, own in ipairs(redis.call('HVALS', key)) do
    named[string.match(own, '^%d+;%d+;(%x+);') or ''] = true
  end
end
local dropped = 0
for _, digest in ipairs(redis.call('HKEYS', KEYS[1])) do
  if dropped < tonumber(ARGV[1]) and not named[digest] then
    redis.call('HDEL', KEYS[1], digest)
    redis.call('HDEL', KEYS[3], digest, 's' .. digest)
    dropped = dropped + 1
  end
end
return dropped
