-- Gives a session to one owner under a new lease, or extends what this owner holds. Needs now, guard, take_lease, session_keys,
-- session_lease, session_due.
-- claim_session(keys, meta_key, identities_key, c): the script's answer. c: digest, base (digest of the worker's incarnation
-- that the claimant is an attempt of, or ''), attempt (its token, or ''), identity, token, ttl (ms), grace, may_take (of the value
-- of a live lease of somebody else: true when it may be taken).
local function give_session(keys, meta_key, identities_key, c)
  local value = F(next_fence(meta_key, 1, c.ttl)) .. ';' .. F(now_ms) .. ';' .. c.digest .. ';s;' .. c.token
  redis.call('HSET', keys.leases, keys.sid, value)
  redis.call('ZADD', keys.expiries, F(now_ms + c.ttl), keys.sid)
  redis.call('HSET', identities_key, c.digest, c.identity)
  set_due(keys)
  return { 'acquired', value, F(now_ms + c.ttl) }
end
local function claim_session(keys, meta_key, identities_key, c)
  if redis.call('HEXISTS', keys.head, 'meta') == 0 then return { 'unknown' } end
  local own = redis.call('HGET', keys.leases, keys.sid)
  local expiry = tonumber(redis.call('ZSCORE', keys.expiries, keys.sid) or '0')
  if own and expiry > now_ms then
    local _, _, digest, mode, token = parse_session_lease(own)
    if (mode == 's' and digest == c.digest) or (mode == 'b' and digest == c.base and token == c.attempt) then
      expiry = math.max(expiry, now_ms + c.ttl)
      redis.call('ZADD', keys.expiries, F(expiry), keys.sid)
      set_due(keys)
      return { 'reentrant', own, F(expiry) }
    end
    if not c.may_take(own) then
      return { 'busy', own, F(expiry), redis.call('HGET', identities_key, digest) or '' }
    end
  end
  local quiet = quiet_until(meta_key, c.grace)
  if quiet > 0 then return { 'quiet', F(quiet) } end
  if own then count_death(keys.deaths, keys.sid) end
  return give_session(keys, meta_key, identities_key, c)
end
