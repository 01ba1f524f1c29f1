-- delete_session: forget a session's head, its references of attachments and the wakes that wait for it.
--
-- KEYS[1] head          hash
-- KEYS[2] queue         list   wake deliveries
-- KEYS[3] attachments   hash
-- KEYS[4] sessions      zset   sid -> ms of its first sight
-- ARGV[1] session_id   str
-- RETURNS deleted | absent
-- INVARIANT a repeat changes nothing.
-- CLOCK not used.
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[4], ARGV[1])
if redis.call('DEL', KEYS[1]) == 1 then
  return 'deleted'
end
return 'absent'
