-- ack_wake: note that a wake was taken; the sequence is not checked.
--
-- KEYS[1] control     hash   the row, for its existence
-- KEYS[2] wake_acks   hash   sequence -> 1
-- ARGV[1] sequence   int
-- ARGV[2] acks_max   int
-- RETURNS acked | again | unknown | full
-- INVARIANT at most acks_max sequences a row.
-- CLOCK not used.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'unknown'
end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
  return 'again'
end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) then
  return 'full'
end
redis.call('HSET', KEYS[2], ARGV[1], '1')
return 'acked'
