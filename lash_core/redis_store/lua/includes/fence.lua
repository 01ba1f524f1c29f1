-- Checks the lease of a fenced write. Needs now.lua.
-- parse_own(value): fence, claimed ms, owner digest, mode (b or s), queue, token of an entry of T:own.
-- same_lease(value, fence, token): fence is '<fence>;<owner digest>' as the client sends it.
-- lease_fault(value, expiry, fence, token): nil while that lease is live, else released, taken or expired.
local function parse_own(value)
  return string.match(value, '^(%d+);(%d+);(%x+);([bs]);([^;]*);(.*)$')
end
local function same_lease(value, fence, token)
  local held, _, digest, _, _, held_token = parse_own(value)
  return held_token == token and held .. ';' .. digest == fence
end
local function lease_fault(value, expiry, fence, token)
  if not value then return 'released' end
  if not same_lease(value, fence, token) then return 'taken' end
  if not expiry or tonumber(expiry) <= now_ms then return 'expired' end
  return nil
end
