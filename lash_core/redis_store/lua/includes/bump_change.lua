-- Puts rows at the end of the partition's change feed. Needs now.lua. The feed's number is a hybrid clock like the
-- fence, so that a failover that lost writes cannot move it back behind a reader's cursor.
-- bump_changes(meta_key, changes_key, process_ids) · bump_change(meta_key, changes_key, process_id)
local function bump_changes(meta_key, changes_key, process_ids)
  local change_seq = tonumber(redis.call('HGET', meta_key, 'cs') or '0')
  local scored = {}
  for i, process_id in ipairs(process_ids) do
    change_seq = math.max(change_seq + 1, now_us)
    scored[2 * i - 1] = F(change_seq)
    scored[2 * i] = process_id
  end
  redis.call('HSET', meta_key, 'cs', F(change_seq))
  redis.call('ZADD', changes_key, unpack(scored))
end
local function bump_change(meta_key, changes_key, process_id)
  bump_changes(meta_key, changes_key, { process_id })
end
