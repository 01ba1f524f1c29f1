#!lua flags=allow-oom
-- reclaim_process_lease: take over the lease of a holder that is provably dead, by compare and swap on what was observed.
--
-- KEYS[1] control     hash  deaths and attempts
-- KEYS[2] owners      hash  process id -> lease
-- KEYS[3] leases      zset  process id -> expiry ms
-- KEYS[4] marks       hash  process id -> marks for the holder
-- KEYS[5] queue       zset  process id -> due ms, the row's own queue
-- KEYS[6] meta        hash  fence, failover guard
-- KEYS[7] identities  hash  owner digest -> identity
-- KEYS[8] audit       list  what happened to the row's leases
-- ARGV[1] process_id      str
-- ARGV[2] hash            str  the registration that the caller knows the queue from
-- ARGV[3] digest          str  of the claimant's incarnation
-- ARGV[4] base_digest     str  of the worker incarnation that the claimant is an attempt of, or ''
-- ARGV[5] attempt_token   str  of that attempt, or ''
-- ARGV[6] identity        str  JSON
-- ARGV[7] queue           str
-- ARGV[8] token           str  of the new lease
-- ARGV[9] ttl_ms          int
-- ARGV[10] grace          str  of the failover guard
-- ARGV[11] observed_fence str  with the owner's digest
-- ARGV[12] observed_token str
-- ARGV[13] proof          str  1 = the caller saw that the observed owner is dead
-- RETURNS acquired lease expiry fenced_writes | busy lease expiry fenced_writes identity | unknown | stale | quiet until
-- INVARIANT the fence of a process only rises, so a stale owner can be refused.
-- INVARIANT an unexpired lease goes to a second owner only when it is the observed one and its owner is proved dead.
-- CLOCK Redis TIME; callers pass durations only.
--- @include now
--- @include fence
--- @include guard
--- @include death
--- @include take_lease

local process_id, ttl_ms = ARGV[1], tonumber(ARGV[9])
local facts = redis.call('HMGET', KEYS[1], 'st', 'dg', 'wn')
if not facts[1] then return { 'unknown' } end
if facts[2] ~= ARGV[2] then return { 'stale' } end
local writes = facts[3] or '0'
local own = redis.call('HGET', KEYS[2], process_id)
local expiry = tonumber(redis.call('ZSCORE', KEYS[3], process_id) or '0')
local holder, mode, held_token, _
if own then _, _, holder, mode, _, held_token = parse_own(own) end
if own and expiry > now_ms then
  local mine = (mode == 's' and holder == ARGV[3])
    or (mode == 'b' and holder == ARGV[4] and held_token == ARGV[5])
  if mine then
    expiry = math.max(expiry, now_ms + ttl_ms)
    redis.call('ZADD', KEYS[3], F(expiry), process_id)
    return { 'acquired', own, F(expiry), writes }
  end
  local observed = same_lease(own, ARGV[11], ARGV[12])
  if not observed or ARGV[13] ~= '1' then
    return { 'busy', own, F(expiry), writes, redis.call('HGET', KEYS[7], holder) or '' }
  end
end
local quiet = quiet_until(KEYS[6], ARGV[10])
if quiet > 0 then return { 'quiet', F(quiet) } end
if own and facts[1] == 'r' then
  redis.call('HINCRBY', KEYS[1], 'at', 1)
  local proved = expiry > now_ms
  count_death(KEYS[1], KEYS[8], { own = own, expiry = expiry, identity = redis.call('HGET', KEYS[7], holder),
    kind = proved and 'reclaim' or 'takeover', evidence = proved and 'provably_dead' or 'expired',
    taken_by = ARGV[6] })
end
local keys = { meta = KEYS[6], owners = KEYS[2], leases = KEYS[3], marks = KEYS[4], identities = KEYS[7], queue = KEYS[5] }
local value = take_lease(keys, process_id, ARGV[3], ARGV[6], 's', ARGV[7], ARGV[8], ttl_ms)
return { 'acquired', value, F(now_ms + ttl_ms), writes }
