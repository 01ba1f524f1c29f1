-- open_scope_promise: create a pending promise of a session's scope or a runtime operation unless there is one.
--
-- KEYS[1] promises  hash  promise -> p or t (pending; t = turn control) or the resolution's JSON; revoked -> ms
-- KEYS[2] scopes    zset  scope hash -> last touched ms
-- ARGV[1] field         str
-- ARGV[2] pending       str  p or t
-- ARGV[3] promises_max  int
-- ARGV[4] scope_hash    str  of a runtime operation; '' = a session's scope
-- RETURNS pending | resolved resolution | revoked | full
-- INVARIANT a revoked session takes no promise any more.
-- CLOCK Redis TIME.
--- @include now
local found = redis.call('HMGET', KEYS[1], ARGV[1], 'revoked')
if found[2] then return { 'revoked' } end
if found[1] and found[1] ~= 'p' and found[1] ~= 't' then return { 'resolved', found[1] } end
if not found[1] then
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return { 'full' } end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], F(now_ms), ARGV[4]) end
return { 'pending' }
