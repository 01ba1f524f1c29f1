#!lua flags=allow-oom
-- forget_promises: delete the promises of scopes of one session that ended long ago.
--
-- KEYS[1] promises  hash  promise -> p or t (pending; t = turn control) or the resolution's JSON; revoked -> ms
-- ARGV[1..] scopes  str   first 16 digits of a scope's hash and ':': what the fields of its promises begin with
-- RETURNS forgotten count
-- INVARIANT a tombstone stays.
-- CLOCK not used.
local wanted, gone = {}, {}
for _, prefix in ipairs(ARGV) do wanted[prefix] = true end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if wanted[string.sub(field, 1, 17)] then gone[#gone + 1] = field end
end
for first = 1, #gone, 1000 do
  redis.call('HDEL', KEYS[1], unpack(gone, first, math.min(first + 999, #gone)))
end
return { 'forgotten', #gone }
