-- Tells the holder of a lease that something happened to its row. Marks are counts since the claim; a renewal hands them
-- back, so a lost notice costs one renewal interval at most.
-- notify_holder(own_value, marks_key, notices_key, notices_max, owner_channels, process_id, kind): kind is cancel or signal.
local function notify_holder(own_value, marks_key, notices_key, notices_max, owner_channels, process_id, kind)
  local marks = redis.call('HGET', marks_key, process_id) or '0;0'
  local cancels, signals = string.match(marks, '^(%d+);(%d+)$')
  if kind == 'cancel' then cancels = tonumber(cancels) + 1 else signals = tonumber(signals) + 1 end
  redis.call('HSET', marks_key, process_id, cancels .. ';' .. signals)
  redis.call('XADD', notices_key, 'MAXLEN', '~', notices_max, '*', 'k', kind, 'p', process_id)
  local digest = string.match(own_value, '^%d+;%d+;(%x+);')
  redis.call('SPUBLISH', owner_channels .. digest, kind .. ' ' .. process_id)
end
