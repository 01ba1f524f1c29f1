-- resolve_scope_promise: resolve a promise of a session's scope or a runtime operation; the first resolution stays.
--
-- KEYS[1] promises  hash  promise -> p or t (pending; t = turn control) or the resolution's JSON; revoked -> ms
-- KEYS[2] scopes    zset  scope hash -> last touched ms
-- ARGV[1] field         str
-- ARGV[2] resolution    str  JSON
-- ARGV[3] promises_max  int
-- ARGV[4] scope_hash    str  of a runtime operation; '' = a session's scope
-- RETURNS accepted | resolved resolution | revoked | full
-- INVARIANT a resolution never changes, and a revoked session takes none.
-- CLOCK Redis TIME.
--- @include now
local found = redis.call('HMGET', KEYS[1], ARGV[1], 'revoked')
if found[2] then return { 'revoked' } end
if found[1] and found[1] ~= 'p' and found[1] ~= 't' then return { 'resolved', found[1] } end
if not found[1] and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return { 'full' } end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], F(now_ms), ARGV[4]) end
redis.call('SPUBLISH', KEYS[1], 'promise')
return { 'accepted' }
