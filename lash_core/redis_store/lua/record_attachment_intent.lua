-- record_attachment_intent: note that a session is about to refer to an attachment, before its bytes are stored.
--
-- KEYS[1] attachments   hash   digest -> <version>;<ms of the intent>;<ms of the commit or 0>;<owner token>;<JSON>
-- KEYS[2] sessions      zset   sid -> ms of its first sight
-- ARGV[1] digest       str
-- ARGV[2] token        str   of the owner, '' = none
-- ARGV[3] facts        str   JSON of address and owner
-- ARGV[4] refs_max     int   references of one session
-- ARGV[5] session_id   str
-- RETURNS recorded intent_ms committed_ms | full
-- INVARIANT a repeated intent takes the new owner and time and never erases a commit stamp.
-- CLOCK Redis TIME.
--- @include now
local old = redis.call('HGET', KEYS[1], ARGV[1])
if not old and redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], 'last') >= tonumber(ARGV[4]) then
  return { 'full' }
end
local committed = old and string.match(old, '^1;%d+;(%d+);') or '0'
redis.call('HSET', KEYS[1], ARGV[1], '1;' .. F(now_ms) .. ';' .. committed .. ';' .. ARGV[2] .. ';' .. ARGV[3])
redis.call('ZADD', KEYS[2], 'NX', F(now_ms), ARGV[5])
return { 'recorded', F(now_ms), committed }
