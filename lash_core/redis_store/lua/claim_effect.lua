-- claim_effect: begin an effect of a scope without a lease, or answer that it has an outcome, is under way, or is another one.
--
-- KEYS[1] journal  hash  field -> entry
-- KEYS[2] scopes   zset  scope hash -> last touched ms
-- ARGV[1] scope_hash   str
-- ARGV[2] field        str
-- ARGV[3] head         str  kind;hash
-- ARGV[4] digests      str
-- ARGV[5] delay        str  ms until the effect is due, or ''
-- ARGV[6] owner        str
-- ARGV[7] token        str  of this claim
-- ARGV[8] ttl_ms       int
-- ARGV[9] entries_max  int
-- RETURNS claimed now_ms due | recorded now_ms entry | busy until_ms | conflict now_ms entry | full
-- INVARIANT a live claim is never given to a second owner, and a due time once set stays.
-- CLOCK Redis TIME; callers pass durations only.
--- @include now
local stored, due = redis.call('HGET', KEYS[1], ARGV[2]), ''
if stored then
  local letter, head, until_ms, digests, tail
  letter, head, due, digests, tail = string.match(stored, '^(%a);([^;]*;[^;]*);([^;]*);([^;]*);(.*)$')
  if head ~= ARGV[3] then return { 'conflict', F(now_ms), stored } end
  if letter ~= 'i' then return { 'recorded', F(now_ms), stored } end
  local expiry, token = string.match(tail, '^(%d+);([^;]*);')
  if tonumber(expiry) > now_ms and token ~= ARGV[7] then return { 'busy', expiry } end
else
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[9]) then return { 'full' } end
  if ARGV[5] ~= '' then due = F(now_ms + tonumber(ARGV[5])) end
end
local claim = F(now_ms + tonumber(ARGV[8])) .. ';' .. ARGV[7] .. ';' .. ARGV[6]
redis.call('HSET', KEYS[1], ARGV[2], 'i;' .. ARGV[3] .. ';' .. due .. ';' .. ARGV[4] .. ';' .. claim)
redis.call('ZADD', KEYS[2], F(now_ms), ARGV[1])
return { 'claimed', F(now_ms), due }
