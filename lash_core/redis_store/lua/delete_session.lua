-- delete_session: forget a session's head and the wakes that wait for it.
--
-- KEYS[1] head    hash
-- KEYS[2] queue   list   wake deliveries
-- RETURNS deleted | absent
-- INVARIANT a repeat changes nothing.
-- CLOCK not used.
redis.call('DEL', KEYS[2])
if redis.call('DEL', KEYS[1]) == 1 then
  return 'deleted'
end
return 'absent'
