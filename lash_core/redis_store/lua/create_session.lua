-- create_session: make a session's head, once.
--
-- KEYS[1] head       hash   r revision, meta, policy, tool_state, plugin_snapshot
-- KEYS[2] sessions   zset   sid -> ms of its first sight: who walks over all sessions reads it
-- ARGV[1] meta     str   JSON before the creation time
-- ARGV[2] meta     str   JSON after it
-- ARGV[3] policy   str   JSON
-- ARGV[4] session_id   str
-- RETURNS created | exists
-- INVARIANT an existing head is never overwritten; a session made again starts above its predecessor's revisions.
-- CLOCK Redis TIME.
--- @include now
redis.call('ZADD', KEYS[2], 'NX', F(now_ms), ARGV[4])
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 'exists'
end
redis.call('HSET', KEYS[1], 'r', F(now_us), 'meta', ARGV[1] .. F(now_ms) .. ARGV[2], 'policy', ARGV[3])
return 'created'
