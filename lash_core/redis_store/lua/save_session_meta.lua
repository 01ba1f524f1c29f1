-- save_session_meta: write the meta of a session that exists.
--
-- KEYS[1] head   hash   meta
-- ARGV[1] meta   str   JSON
-- RETURNS saved | absent
-- INVARIANT a session that was deleted does not come back.
-- CLOCK not used.
if redis.call('HEXISTS', KEYS[1], 'meta') == 0 then
  return 'absent'
end
redis.call('HSET', KEYS[1], 'meta', ARGV[1])
return 'saved'
