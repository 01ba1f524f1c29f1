-- Puts a row into a ready queue. Needs now.lua. A notice goes out only when the queue had no due row before: workers claim
-- until nothing is due, so one notice a burst is enough. A time that comes before all others is told too, so that an idle
-- worker wakes for it.
-- put_ready(queue_key, process_id, score, notices_key, notices_max): score is ms or '+inf'.
local function put_ready(queue_key, process_id, score, notices_key, notices_max)
  if score ~= '+inf' and tonumber(score) <= now_ms then
    if #redis.call('ZRANGEBYSCORE', queue_key, '-inf', F(now_ms), 'LIMIT', 0, 1) == 0 then
      redis.call('XADD', notices_key, 'MAXLEN', '~', notices_max, '*', 'k', 'ready', 'p', process_id)
      redis.call('SPUBLISH', notices_key, 'ready ' .. process_id)
    end
  elseif score ~= '+inf' then
    local head = redis.call('ZRANGEBYSCORE', queue_key, '(' .. F(now_ms), '(inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if not head or tonumber(score) < tonumber(head) then redis.call('SPUBLISH', notices_key, 'due ' .. score) end
  end
  redis.call('ZADD', queue_key, score, process_id)
end
