#!lua flags=allow-oom
-- requeue_expired_leases: give rows of expired leases back to their queues and count the deaths of their owners.
--
-- KEYS[1] owners      hash    process id -> lease
-- KEYS[2] leases      zset    process id -> expiry ms
-- KEYS[3] marks       hash    process id -> marks for the holder
-- KEYS[4] meta        hash    failover guard
-- KEYS[5] notices     stream  ready notices
-- KEYS[6] identities  hash    owner digest -> identity
-- KEYS[7..] three an item: control (hash), audit (list), queue (zset process id -> due ms)
-- ARGV[1] grace        str  of the failover guard
-- ARGV[2] notices_max  int
-- ARGV[3..] two an item: process id, lease as it was read
-- RETURNS a word an item: requeued | dropped (no row, or a terminal one) | kept (renewed or taken since, or a grace runs)
-- INVARIANT only a lease that is expired now and is the one that was read is given back.
-- INVARIANT a running row without a lease is in its queue.
-- CLOCK Redis TIME decides what is expired.
--- @include now
--- @include fence
--- @include guard
--- @include death
--- @include ready

-- First takeover at once, then later and later: what kills its workers must not kill them all.
local waits_ms = { 0, 1000, 5000, 15000, 60000 }
local reply = {}
local count = (#ARGV - 2) / 2
local quiet = quiet_until(KEYS[4], ARGV[1])
for i = 1, count do
  local process_id, seen, k = ARGV[1 + 2 * i], ARGV[2 + 2 * i], 6 + (i - 1) * 3
  local expiry = tonumber(redis.call('ZSCORE', KEYS[2], process_id) or '0')
  if quiet > 0 or expiry == 0 or expiry > now_ms or redis.call('HGET', KEYS[1], process_id) ~= seen then
    reply[i] = 'kept'
  else
    local facts = redis.call('HMGET', KEYS[k + 1], 'st', 'dp', 'ar', 'fo', 'du', 'pk')
    redis.call('HDEL', KEYS[1], process_id)
    redis.call('ZREM', KEYS[2], process_id)
    redis.call('HDEL', KEYS[3], process_id)
    if facts[1] == 'r' then
      redis.call('HINCRBY', KEYS[k + 1], 'at', 1)
      if facts[6] then redis.call('HDEL', KEYS[k + 1], 'pk') end
      local _, _, digest = parse_own(seen)
      local deaths = count_death(KEYS[k + 1], KEYS[k + 2], { own = seen, expiry = expiry,
        identity = redis.call('HGET', KEYS[6], digest), kind = 'death', evidence = 'expired' })
      local score = F(math.max(now_ms + waits_ms[math.min(deaths, #waits_ms)], tonumber(facts[5] or '0')))
      -- Started owner-bound work is never run again: it goes back at once, so that a worker decides what it is.
      if facts[2] == 'o' and facts[4] then score = F(now_ms) end
      if facts[2] == 'e' then score = facts[3] and F(now_ms) or '+inf' end
      put_ready(KEYS[k + 3], process_id, score, KEYS[5], ARGV[2])
      reply[i] = 'requeued'
    else
      reply[i] = 'dropped'
    end
  end
end
return reply
