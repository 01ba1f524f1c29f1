-- put_content: store a content-addressed blob, or refresh the age of the one that is there.
--
-- KEYS[1] blob   string   <record version>;<ms of the last put>;<bytes>
-- ARGV[1] bytes   str   their SHA-256 is in the key's name
-- RETURNS stored
-- INVARIANT equal bytes are stored once; a put never changes them, only their age.
-- CLOCK Redis TIME.
--- @include now
redis.call('SET', KEYS[1], '1;' .. F(now_ms) .. ';' .. ARGV[1])
return 'stored'
