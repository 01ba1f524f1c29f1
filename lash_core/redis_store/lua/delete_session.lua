-- delete_session: forget a session's head.
--
-- KEYS[1] head   hash
-- RETURNS deleted | absent
-- INVARIANT a repeat changes nothing.
-- CLOCK not used.
if redis.call('DEL', KEYS[1]) == 1 then
  return 'deleted'
end
return 'absent'
