#!lua flags=allow-oom
-- prune_occurrences: forget settled occurrences of before a time, with their deliveries.
--
-- KEYS[1] occurrences  hash   occurrence -> row
-- KEYS[2] settled      zset   occurrence -> ms, those of which nothing waits
-- KEYS[3] deliveries   hash   <occurrence>:<subscription> -> snapshot
-- KEYS[4] waiting      zset   <occurrence>:<subscription> -> ms
-- KEYS[5] failures     hash   <occurrence>:<subscription> -> reason
-- KEYS[6] meta         hash   bytes of occurrences
-- ARGV[1] cutoff_ms   int   those recorded at or after it stay
-- ARGV[2] limit       int   occurrences at most
-- RETURNS (int) how many were forgotten
-- INVARIANT an occurrence of which something waits stays.
-- CLOCK not used.
local OCC, SETTLED, DLV, RES, FAIL, META = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
--- @include occurrences
local doomed = redis.call('ZRANGEBYSCORE', SETTLED, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
for _, occurrence in ipairs(doomed) do forget_occurrence(occurrence) end
return #doomed
