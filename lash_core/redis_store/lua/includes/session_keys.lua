-- The keys of one session that scripts about its lease, queue, inputs and open turn are given, in one order
-- (redis_store/session_part.py makes the same).
-- session_keys(first, session_id): a table of names; first is the place of the first one in KEYS.
local function session_keys(first, session_id)
  local names = { 'head', 'rows', 'order', 'due', 'sources', 'settled', 'inputs', 'input_order', 'leases', 'expiries',
    'ready', 'deaths', 'notices', 'channel' }
  local keys = { sid = session_id }
  for i, name in ipairs(names) do keys[name] = KEYS[first + i - 1] end
  return keys
end
