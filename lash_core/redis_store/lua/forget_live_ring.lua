#!lua flags=allow-oom
-- forget_live_ring: the events of a deleted session go; old cursors find a gap and never events of another life.
--
-- KEYS[1] ring      stream
-- KEYS[2] tails     hash   sid -> record of its ring (includes/live_ring.lua)
-- KEYS[3] idle      zset   sid -> ms when its ring is looked at
-- KEYS[4] channel   of watchers
-- ARGV[1] session_id   str
-- ARGV[2] kept_ms      int   how long the record stays
-- RETURNS forgotten | absent
-- INVARIANT positions go on rising; a repeat costs a position and nothing else.
-- CLOCK Redis TIME.
--- @include now
--- @include guard
--- @include live_ring
--- @include forget_live
return forget_live(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2]) and 'forgotten' or 'absent'
