-- Tells a row that something happened that may end a wait of its run (docs/adr/0041): its holder hears of it, a row that is
-- parked is due now. A row that is merely due later, stands back after deaths or waits for a person stays as it is.
-- Needs now, ready, notify_holder.
-- row_to_tell(control_key): the facts of a row that tell_row asks for.
-- tell_row(row, keys, process_id, kind, notices_max, owner_channels): kind is signal, or cancel, which wakes every row that
-- lash runs. keys: owners, marks, queue, notices.
local function row_to_tell(control_key)
  local facts = redis.call('HMGET', control_key, 'st', 'dg', 'dp', 'at', 'wt', 'pk', 'fo', 'ar')
  return { st = facts[1], dg = facts[2], dp = facts[3], at = facts[4], wt = facts[5], pk = facts[6], fo = facts[7],
    ar = facts[8] }
end
local function tell_row(row, keys, process_id, kind, notices_max, owner_channels)
  local own = redis.call('HGET', keys.owners, process_id)
  if own then
    notify_holder(own, keys.marks, keys.notices, notices_max, owner_channels, process_id, kind)
    return
  end
  if row.st ~= 'r' or row.dp == 'e' then return end
  local score = redis.call('ZSCORE', keys.queue, process_id)
  local parked = tonumber(row.at or '0') > 0 and (score == 'inf' or row.wt or row.pk)
  local wakes = kind == 'cancel' or (parked and not (row.dp == 'o' and row.fo and not row.ar))
  if score and wakes and (score == 'inf' or tonumber(score) > now_ms) then
    put_ready(keys.queue, process_id, F(now_ms), keys.notices, notices_max)
  end
end
