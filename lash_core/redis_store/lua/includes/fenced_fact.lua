-- The fence of a script that writes one fact. Needs now and fence. KEYS[1] control, KEYS[2] owners, KEYS[3] leases; ARGV[1]
-- process id, ARGV[2] fence, ARGV[3] token ('' = not fenced), ARGV[4] acknowledged writes, ARGV[5] id of this write.
-- fact_fault(writes): the refusal of a stale run, or nil. count_fact(writes): the writes after this one.
local function fact_fault(writes)
  if ARGV[3] == '' then return nil end
  local own, expiry = redis.call('HGET', KEYS[2], ARGV[1]), redis.call('ZSCORE', KEYS[3], ARGV[1])
  local fault = lease_fault(own, expiry, ARGV[2], ARGV[3])
  if fault then return { 'lost', fault } end
  if writes < tonumber(ARGV[4]) then return { 'behind', writes } end
  return nil
end
local function is_repeat(last_write)
  return ARGV[3] ~= '' and string.match(last_write or '', '^%x+') == ARGV[5]
end
local function count_fact(writes)
  if ARGV[3] == '' then return writes end
  redis.call('HSET', KEYS[1], 'wn', writes + 1, 'wl', ARGV[5] .. ';0')
  return writes + 1
end
