-- deliver_wake: put a wake into the queue of its session, once.
--
-- KEYS[1] session_head    hash   for its existence
-- KEYS[2] session_queue   list   wake deliveries, oldest first
-- ARGV[1] delivery     str   JSON, the same for every delivery of one event
-- ARGV[2] queued_max   int
-- RETURNS queued | again | absent | full
-- INVARIANT a session that does not exist gets no queue.
-- CLOCK not used.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'absent'
end
if redis.call('LPOS', KEYS[2], ARGV[1]) then
  return 'again'
end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[2]) then
  return 'full'
end
redis.call('RPUSH', KEYS[2], ARGV[1])
return 'queued'
