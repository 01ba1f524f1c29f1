-- read_clock: the server's time.
--
-- KEYS[1] meta   hash   of the partition whose node is asked
-- RETURNS (now_ms)
-- INVARIANT writes nothing.
-- CLOCK Redis TIME.
--- @include now
return F(now_ms)
