-- What a deletion does to the ring of a session. Needs now.lua, guard.lua, live_ring.lua.
-- forget_live(ring, tails, idle, channel, sid, kept_ms): true when there was one. Watchers hear 'gone'.
local function forget_live(ring, tails, idle, channel, sid, kept_ms)
  redis.call('UNLINK', ring)
  redis.call('SPUBLISH', channel, 'gone')
  local tail = read_live_tail(tails, sid)
  if not tail.known then return false end
  skip_live(tail, 1)
  tail.open, tail.revision, tail.commit, tail.ms = 0, 0, 0, math.max(tail.ms, now_ms)
  redis.call('ZADD', idle, F(tail.ms + tonumber(kept_ms)), sid)
  write_live_tail(tails, sid, tail)
  return true
end
