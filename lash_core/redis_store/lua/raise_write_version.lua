-- raise_write_version: let records of a newer version be written from now on.
--
-- KEYS[1] layout   hash   write_version and the rest of the layout
-- ARGV[1] version   int   what to raise it to
-- RETURNS raised | kept | missing
-- INVARIANT the write version only rises.
-- CLOCK not used.
local stored = redis.call('HGET', KEYS[1], 'write_version')
if not stored then
  return 'missing'
end
if tonumber(stored) >= tonumber(ARGV[1]) then
  return 'kept'
end
redis.call('HSET', KEYS[1], 'write_version', ARGV[1])
return 'raised'
