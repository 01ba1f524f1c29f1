-- drop_attachment_ref: a session refers to an attachment no more; the bytes are the sweep's.
--
-- KEYS[1] attachments   hash   digest -> reference
-- ARGV[1] digest   str
-- RETURNS dropped | absent
-- INVARIANT a repeat changes nothing.
-- CLOCK not used.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  return 'dropped'
end
return 'absent'
