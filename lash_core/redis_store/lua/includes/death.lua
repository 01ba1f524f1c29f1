-- Counts the end of a lease by the death of its owner, with its evidence. Needs now.lua and fence.lua.
-- Deaths count in a row without progress: a fenced write accepted since the last death starts the count again.
-- count_death(control_key, audit_key, death): deaths after this one. death: own (value of T:own), expiry (ms), identity
-- (JSON or nil), kind (of the audit entry), evidence, taken_by (identity JSON of the new owner, or nil).
local function count_death(control_key, audit_key, death)
  local facts = redis.call('HMGET', control_key, 'wn', 'dw', 'dt')
  local writes, deaths = facts[1] or '0', 1
  if facts[2] == writes then deaths = tonumber(facts[3] or '0') + 1 end
  redis.call('HSET', control_key, 'dt', deaths, 'dw', writes)
  local fence, _, digest, mode, _, token = parse_own(death.own)
  local owner_id, incarnation = digest, digest
  if death.identity then
    local identity = cjson.decode(death.identity)
    owner_id, incarnation = identity.owner_id, identity.incarnation_id
  end
  if mode == 'b' then incarnation = incarnation .. ':' .. token end
  local taken = ''
  if death.taken_by then taken = ',"taken_by":' .. cjson.encode(cjson.decode(death.taken_by).owner_id) end
  redis.call('RPUSH', audit_key, '{"at_ms":' .. F(now_ms) .. ',"evidence":{"deaths":' .. deaths .. ',"evidence":"'
    .. death.evidence .. '","expires_at_ms":' .. F(death.expiry) .. ',"fencing_token":' .. fence
    .. ',"incarnation_id":' .. cjson.encode(incarnation) .. ',"owner_id":' .. cjson.encode(owner_id) .. taken
    .. '},"kind":"' .. death.kind .. '"}')
  redis.call('LTRIM', audit_key, -50, -1)
  return deaths
end
