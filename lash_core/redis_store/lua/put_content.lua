-- put_content: store a content-addressed blob, or refresh the age of the one that is there.
--
-- KEYS[1] blob    string   <record version>;<ms of the last put>;<bytes>
-- KEYS[2] index   zset     <family letter>:<digest> -> µs of the last put
-- ARGV[1] bytes    str   their SHA-256 is in the key's name
-- ARGV[2] member   str   of the index
-- RETURNS stored
-- INVARIANT equal bytes are stored once; a put never changes them, only their age; no two puts of a blob have one µs.
-- CLOCK Redis TIME.
--- @include now
local put_us = math.max(now_us, tonumber(redis.call('ZSCORE', KEYS[2], ARGV[2]) or '0') + 1)
redis.call('SET', KEYS[1], '1;' .. F(math.floor(put_us / 1000)) .. ';' .. ARGV[1])
redis.call('ZADD', KEYS[2], F(put_us), ARGV[2])
return 'stored'
