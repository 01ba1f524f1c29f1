#!lua flags=allow-oom
-- drop_deliveries: forget settled deliveries whose processes were pruned, and occurrences that have none left.
--
-- KEYS[1] occurrences  hash   occurrence -> row
-- KEYS[2] settled      zset   occurrence -> ms, those of which nothing waits
-- KEYS[3] deliveries   hash   <occurrence>:<subscription> -> snapshot
-- KEYS[4] waiting      zset   <occurrence>:<subscription> -> ms
-- KEYS[5] failures     hash   <occurrence>:<subscription> -> reason
-- KEYS[6] meta         hash   bytes of occurrences
-- ARGV[1..] deliveries  str   <occurrence>:<subscription>
-- RETURNS (int) how many were dropped
-- INVARIANT a delivery that waits to be started stays.
-- CLOCK not used.
local OCC, SETTLED, DLV, RES, FAIL, META = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
--- @include occurrences
local dropped, touched, order = 0, {}, {}
for _, delivery in ipairs(ARGV) do
  if not redis.call('ZSCORE', RES, delivery) and redis.call('HDEL', DLV, delivery) == 1 then
    redis.call('HDEL', FAIL, delivery)
    dropped = dropped + 1
    local occurrence = string.sub(delivery, 1, 64)
    if not touched[occurrence] then
      touched[occurrence], order[#order + 1] = true, occurrence
    end
  end
end
for _, occurrence in ipairs(order) do
  local found, left = occurrence_of(redis.call('HGET', OCC, occurrence)), false
  for _, subscription in ipairs(found and found.subscriptions or {}) do
    if redis.call('HEXISTS', DLV, occurrence .. ':' .. subscription) == 1 then
      left = true
      break
    end
  end
  if not left then forget_occurrence(occurrence) end
end
return dropped
