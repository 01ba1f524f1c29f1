-- finish_grants: drop an outbox entry whose session side was written, unless the grants have changed since.
--
-- KEYS[1] grants   hash     scope id -> grant
-- KEYS[2] outbox   stream
-- ARGV[1] entry_id   str
-- ARGV[2..] written   str   pairs: scope id, grant as written there ('' = removed)
-- RETURNS done | changed
-- INVARIANT who writes the session's side last has compared it with the truth, or leaves an entry.
-- CLOCK not used.
for index = 2, #ARGV, 2 do
  if (redis.call('HGET', KEYS[1], ARGV[index]) or '') ~= ARGV[index + 1] then
    return 'changed'
  end
end
redis.call('XDEL', KEYS[2], ARGV[1])
return 'done'
