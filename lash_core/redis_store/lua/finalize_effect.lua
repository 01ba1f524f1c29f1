-- finalize_effect: record the outcome of a claimed effect of a scope without a lease.
--
-- KEYS[1] journal  hash  field -> entry
-- KEYS[2] scopes   zset  scope hash -> last touched ms
-- ARGV[1] scope_hash  str
-- ARGV[2] field       str
-- ARGV[3] head        str  kind;hash
-- ARGV[4] token       str
-- ARGV[5] letter      str  c or f
-- ARGV[6] outcome     str  JSON
-- RETURNS recorded entry | lost
-- INVARIANT only a live claim writes an outcome, and an outcome never changes.
-- CLOCK Redis TIME.
--- @include now
local stored = redis.call('HGET', KEYS[1], ARGV[2])
if not stored then return { 'lost' } end
local letter, head, facts, tail = string.match(stored, '^(%a);([^;]*;[^;]*);([^;]*;[^;]*);(.*)$')
local final = ARGV[5] .. ';' .. ARGV[3] .. ';' .. facts .. ';' .. ARGV[6]
if stored == final then return { 'recorded', stored } end
local expiry, token = string.match(tail, '^(%d+);([^;]*);')
if letter ~= 'i' or head ~= ARGV[3] or token ~= ARGV[4] or tonumber(expiry) <= now_ms then return { 'lost' } end
redis.call('HSET', KEYS[1], ARGV[2], final)
redis.call('ZADD', KEYS[2], F(now_ms), ARGV[1])
return { 'recorded', final }
