-- put_session_grants: write the session's side of grants.
--
-- KEYS[1] session_grants   hash   '<scope id>\n<pid>' -> grant
-- ARGV[1..] written   str   pairs: field, grant ('' = remove)
-- RETURNS ok
-- INVARIANT follows the process's side; finish_grants compares afterwards.
-- CLOCK not used.
for index = 1, #ARGV, 2 do
  if ARGV[index + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[index])
  else
    redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
  end
end
return 'ok'
