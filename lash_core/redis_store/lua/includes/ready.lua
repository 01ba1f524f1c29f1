-- Puts a row into a ready queue. Needs now.lua. A notice goes out only when the queue had no due row before: workers claim
-- until nothing is due, so one notice a burst is enough.
-- put_ready(queue_key, process_id, score, notices_key, notices_max): score is ms or '+inf'.
local function put_ready(queue_key, process_id, score, notices_key, notices_max)
  local due = score ~= '+inf' and tonumber(score) <= now_ms
  if due and #redis.call('ZRANGEBYSCORE', queue_key, '-inf', F(now_ms), 'LIMIT', 0, 1) == 0 then
    redis.call('XADD', notices_key, 'MAXLEN', '~', notices_max, '*', 'k', 'ready', 'p', process_id)
    redis.call('SPUBLISH', notices_key, 'ready ' .. process_id)
  end
  redis.call('ZADD', queue_key, score, process_id)
end
