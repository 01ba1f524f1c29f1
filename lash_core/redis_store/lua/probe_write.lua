-- probe_write: write one field and read it back, for readiness.
--
-- KEYS[1] meta   hash   pr: the newest probe
-- ARGV[1] probe   str   16 hex
-- RETURNS (probe)
-- INVARIANT one field, whoever probes.
-- CLOCK not used.
redis.call('HSET', KEYS[1], 'pr', ARGV[1])
return redis.call('HGET', KEYS[1], 'pr')
