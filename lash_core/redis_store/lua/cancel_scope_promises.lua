-- cancel_scope_promises: resolve pending promises of a session or a runtime operation as cancelled, but for turn control.
--
-- KEYS[1] promises  hash  promise -> p or t (pending; t = turn control) or the resolution's JSON; revoked -> ms
-- ARGV[1] prefix      str  of the fields of one scope; '' = all
-- ARGV[2] resolution  str  JSON
-- RETURNS (promises cancelled)
-- INVARIANT a resolution never changes.
-- CLOCK not used.
local stored, count = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #stored, 2 do
  if stored[i + 1] == 'p' and string.sub(stored[i], 1, #ARGV[1]) == ARGV[1] then
    redis.call('HSET', KEYS[1], stored[i], ARGV[2])
    count = count + 1
  end
end
if count > 0 then redis.call('SPUBLISH', KEYS[1], 'promise') end
return count
