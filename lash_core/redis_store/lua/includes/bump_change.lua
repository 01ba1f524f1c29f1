-- Puts a row at the end of the partition's change feed. Needs now.lua. The feed's number is a hybrid clock like the
-- fence, so that a failover that lost writes cannot move it back behind a reader's cursor.
local change_seq = nil
local function bump_change(meta_key, changes_key, process_id)
  if not change_seq then
    change_seq = tonumber(redis.call('HGET', meta_key, 'cs') or '0')
  end
  change_seq = math.max(change_seq + 1, now_us)
  redis.call('HSET', meta_key, 'cs', F(change_seq))
  redis.call('ZADD', changes_key, F(change_seq), process_id)
end
