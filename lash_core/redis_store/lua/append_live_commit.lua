-- append_live_commit: put the event of a commit into a session's ring, unless that of this or of a newer one is there.
--
-- KEYS[1] ring      stream   <position>-0: m ms, b bytes before it, r revision, p payload
-- KEYS[2] tails     hash     sid -> record of its ring (includes/live_ring.lua)
-- KEYS[3] idle      zset     sid -> ms when its ring is looked at
-- KEYS[4] channel   of watchers
-- ARGV[1] session_id   str
-- ARGV[2] revision     int   of the session after the commit
-- ARGV[3] events_max   int
-- ARGV[4] age_ms_max   int
-- ARGV[5] bytes_max    int
-- ARGV[6..] payloads   str   JSON without line breaks; the last one is the commit, another one comes right before it
-- RETURNS appended first_position | known
-- INVARIANT a commit has one event, whoever saw it first and however often this is repeated.
-- CLOCK Redis TIME.
--- @include now
--- @include guard
--- @include live_ring
local tail, count = read_live_tail(KEYS[2], ARGV[1]), #ARGV - 5
if tail.commit > 0 and tail.revision >= tonumber(ARGV[2]) then
  return { 'known' }
end
if tail.first > tail.tail then
  redis.call('ZADD', KEYS[3], F(now_ms + tonumber(ARGV[4]) + 1), ARGV[1])
end
for n = 1, count do
  push_live(KEYS[1], tail, ARGV[2], n == count and 'c' or 'o', ARGV[5 + n])
end
trim_live(KEYS[1], tail, tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]))
write_live_tail(KEYS[2], ARGV[1], tail)
tell_live(KEYS[4], tail, count, ARGV[2], 6)
return { 'appended', F(tail.tail - count + 1) }
