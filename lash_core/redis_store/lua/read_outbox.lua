-- read_outbox: outbox entries that the caller who wrote them has not carried out in time.
--
-- KEYS[1] outbox   stream
-- ARGV[1] min_age_ms   int
-- ARGV[2] limit        int
-- RETURNS (entries)
-- INVARIANT writes nothing.
-- CLOCK Redis TIME; entry ids are its milliseconds.
--- @include now
return redis.call('XRANGE', KEYS[1], '-', F(now_ms - tonumber(ARGV[1])), 'COUNT', ARGV[2])
