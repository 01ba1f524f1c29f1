#!lua flags=allow-oom
-- trim_live_rings: drop events that are too old, and the records of sessions that are gone for long.
--
-- KEYS[1] tails   hash   sid -> record of its ring (includes/live_ring.lua)
-- KEYS[2] idle    zset   sid -> ms when its ring is looked at
-- KEYS[3..] two an item: its ring (stream) and the head of its session (hash)
-- ARGV[1] age_ms_max    int
-- ARGV[2] kept_ms       int   how long the record of a session that is gone stays behind its last event
-- ARGV[3..] session_ids   str
-- RETURNS trimmed events
-- INVARIANT the record of a session that exists stays, so that `all dropped` and `never one` differ.
-- CLOCK Redis TIME.
--- @include now
--- @include guard
--- @include live_ring
local age_ms, kept_ms, dropped = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for n = 3, #ARGV do
  local sid, ring, head = ARGV[n], KEYS[2 * n - 3], KEYS[2 * n - 2]
  local tail = read_live_tail(KEYS[1], sid)
  if tail.known and not tail.emptied then dropped = dropped + trim_live(ring, tail, math.huge, age_ms, math.huge) end
  if tail.first <= tail.tail then
    redis.call('ZADD', KEYS[2], F(tail.first_ms + age_ms + 1), sid)
    write_live_tail(KEYS[1], sid, tail)
  else
    redis.call('UNLINK', ring)
    if not tail.known or redis.call('EXISTS', head) == 1 then
      redis.call('ZREM', KEYS[2], sid)
    elseif tail.ms + kept_ms <= now_ms then
      redis.call('ZREM', KEYS[2], sid)
      redis.call('HDEL', KEYS[1], sid)
    else
      redis.call('ZADD', KEYS[2], F(tail.ms + kept_ms), sid)
    end
    if tail.known and redis.call('HEXISTS', KEYS[1], sid) == 1 then write_live_tail(KEYS[1], sid, tail) end
  end
end
return { 'trimmed', dropped }
