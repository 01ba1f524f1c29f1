-- append_live_events: put events of one session into its ring and tell whoever watches.
--
-- KEYS[1] ring      stream   <position>-0: m ms, b bytes before it, r revision, p payload
-- KEYS[2] tails     hash     sid -> record of its ring (includes/live_ring.lua)
-- KEYS[3] idle      zset     sid -> ms when its ring is looked at
-- KEYS[4] channel   of watchers
-- ARGV[1] session_id   str
-- ARGV[2] generation   int   of the session's lease, 0 = not under one
-- ARGV[3] dropped      int   events before these that are lost
-- ARGV[4] revision     int   of the session
-- ARGV[5] events_max   int
-- ARGV[6] age_ms_max   int
-- ARGV[7] bytes_max    int
-- ARGV[8] letters      str   one an event: a activity, c committed, o other
-- ARGV[9..] payloads   str   JSON without line breaks
-- RETURNS (first position, of an ordinary append) | appended first_position: took over | stale generation | over revision: its commit is there
-- INVARIANT positions only rise; a position that was ever given names no other event, whatever a failover lost.
-- INVARIANT once a generation wrote, a lower one writes nothing; what is under no lease always may.
-- INVARIANT behind a commit nothing comes that was streamed under a lease before it.
-- CLOCK Redis TIME.
--- @include now
--- @include guard
--- @include live_ring
local tail, generation, count = read_live_tail(KEYS[2], ARGV[1]), tonumber(ARGV[2]), #ARGV[8]
if generation > 0 and generation < tail.generation then
  return { 'stale', F(tail.generation) }
end
if generation > 0 and tail.commit > 0 and tonumber(ARGV[4]) < tail.revision and not string.find(ARGV[8], 'c', 1, true) then
  return { 'over', F(tail.revision) }
end
local took_over = generation > tail.generation and tail.open == 1
tail.generation = math.max(generation, tail.generation)
if ARGV[3] ~= '0' then skip_live(tail, tonumber(ARGV[3])) end
if tail.first > tail.tail then
  redis.call('ZADD', KEYS[3], F(now_ms + tonumber(ARGV[6]) + 1), ARGV[1])
end
for n = 1, count do
  push_live(KEYS[1], tail, ARGV[4], string.sub(ARGV[8], n, n), ARGV[8 + n])
end
trim_live(KEYS[1], tail, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]))
write_live_tail(KEYS[2], ARGV[1], tail)
tell_live(KEYS[4], tail, count, ARGV[4], 9)
if took_over then return { 'appended', F(tail.tail - count + 1) } end
return tail.tail - count + 1
