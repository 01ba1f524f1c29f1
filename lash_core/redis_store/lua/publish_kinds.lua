-- publish_kinds: write kind manifests; the newest writer of a kind wins.
--
-- KEYS[1] kinds   hash   kind -> manifest JSON
-- ARGV[1] kinds_max   int
-- ARGV[2..] pairs     str   kind, manifest JSON
-- RETURNS ok | full
-- INVARIANT at most kinds_max kinds; a refused call writes nothing.
-- CLOCK not used.
local added = 0
for index = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[index]) == 0 then
    added = added + 1
  end
end
if added > 0 and redis.call('HLEN', KEYS[1]) + added > tonumber(ARGV[1]) then
  return 'full'
end
for index = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
end
return 'ok'
