#!lua flags=allow-oom
-- prune_mutation_receipts: forget the answers of old mutations of triggers.
--
-- KEYS[1] receipts       hash   <owner>:<operation> -> <ms>;<request hash>;<result>
-- KEYS[2] receipt_times  zset   <owner>:<operation> -> ms
-- KEYS[3] meta           hash   bytes of receipts
-- ARGV[1] cutoff_ms   int   those of this time or later stay
-- ARGV[2] limit       int   receipts at most
-- RETURNS (int) how many were forgotten
-- INVARIANT receipts and receipt_times name the same operations.
-- CLOCK not used.
local doomed = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, receipt in ipairs(doomed) do
  redis.call('HINCRBY', KEYS[3], 'rb', -#(redis.call('HGET', KEYS[1], receipt) or ''))
  redis.call('HDEL', KEYS[1], receipt)
  redis.call('ZREM', KEYS[2], receipt)
end
return #doomed
