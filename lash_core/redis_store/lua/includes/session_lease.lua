-- The lease of a session: '<fence>;<claimed ms>;<owner digest>;<b or s>;<token>' in keys.leases, its end in keys.expiries.
-- The fence is the lease's generation. Needs now.lua and session_keys.lua.
-- parse_session_lease(value): fence, claimed ms, owner digest, mode (b = an attempt of a fleet claim, s), token.
-- same_session_lease(value, fence, token): fence is '<fence>;<owner digest>' as the client sends it.
-- session_lease_fault(keys, fence, token): nil while that lease is live, else released, taken or expired.
-- live_generation(keys): of the lease that is live now, '' = there is none.
-- drop_session_lease(keys, fence, token): true when it was this one, live or not; it is gone then. set_due comes after it.
local function parse_session_lease(value)
  return string.match(value, '^(%d+);(%d+);(%x+);([bs]);(.*)$')
end
local function same_session_lease(value, fence, token)
  local held, _, digest, _, held_token = parse_session_lease(value)
  return held_token == token and held .. ';' .. digest == fence
end
local function is_live(keys)
  local expiry = redis.call('ZSCORE', keys.expiries, keys.sid)
  return expiry and tonumber(expiry) > now_ms
end
local function session_lease_fault(keys, fence, token)
  local own = redis.call('HGET', keys.leases, keys.sid)
  if not own then return 'released' end
  if not same_session_lease(own, fence, token) then return 'taken' end
  if not is_live(keys) then return 'expired' end
  return nil
end
local function live_generation(keys)
  local own = is_live(keys) and redis.call('HGET', keys.leases, keys.sid)
  return own and string.match(own, '^%d+') or ''
end
local function drop_session_lease(keys, fence, token)
  local own = redis.call('HGET', keys.leases, keys.sid)
  if not own or not same_session_lease(own, fence, token) then return false end
  redis.call('HDEL', keys.leases, keys.sid)
  redis.call('ZREM', keys.expiries, keys.sid)
  return true
end
