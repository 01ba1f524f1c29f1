#!lua flags=allow-oom
-- settle_deliveries: record what became of deliveries.
--
-- KEYS[1] occurrences  hash   occurrence -> row
-- KEYS[2] settled      zset   occurrence -> ms, those of which nothing waits
-- KEYS[3] deliveries   hash   <occurrence>:<subscription> -> snapshot
-- KEYS[4] waiting      zset   <occurrence>:<subscription> -> ms until which it is left alone
-- KEYS[5] failures     hash   <occurrence>:<subscription> -> reason
-- KEYS[6] meta         hash   bytes of occurrences
-- ARGV[1..] three a delivery: <occurrence>:<subscription>, s started or f failed or p put off, reason or delay in ms
-- RETURNS settled
-- INVARIANT started stands for good; failed and put off count only for a delivery that waits.
-- CLOCK Redis TIME.
--- @include now
local OCC, SETTLED, DLV, RES, FAIL, META = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
--- @include occurrences
local touched, order = {}, {}
for at = 1, #ARGV, 3 do
  local delivery, outcome, text = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local waits = redis.call('ZSCORE', RES, delivery)
  if outcome == 'p' then
    if waits then redis.call('ZADD', RES, F(now_ms + tonumber(text)), delivery) end
  else
    if outcome == 's' then
      redis.call('HDEL', FAIL, delivery)
    elseif waits then
      redis.call('HSET', FAIL, delivery, text)
    end
    if waits then
      redis.call('ZREM', RES, delivery)
      local occurrence = string.sub(delivery, 1, 64)
      if not touched[occurrence] then
        touched[occurrence], order[#order + 1] = true, occurrence
      end
    end
  end
end
for _, occurrence in ipairs(order) do note_if_settled(occurrence) end
return 'settled'
