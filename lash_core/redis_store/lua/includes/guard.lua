-- Failover guard. Needs now.lua. After a change of the replication id no lease may be given until every owner that only the
-- lost history knew has given up by itself: the largest TTL ever claimed, counted from now after a promotion, else
-- from the server's start. Where INFO is refused the guard is off.
-- quiet_until(meta_key, grace): ms, 0 = claims are open. grace: '' = the rule, else that many ms from now, '0' = off.
local function replication_facts()
  local reply = redis.pcall('INFO', 'replication')
  if type(reply) ~= 'string' then return nil end
  return string.match(reply, 'master_replid:(%x+)'), string.match(reply, 'second_repl_offset:(-?%d+)')
end
local function server_started_ms()
  local reply = redis.pcall('INFO', 'server')
  local seconds = type(reply) == 'string' and string.match(reply, 'uptime_in_seconds:(%d+)')
  return now_ms - (tonumber(seconds or '0') * 1000)
end
local function quiet_until(meta_key, grace)
  if grace == '0' then return 0 end
  local known = redis.call('HMGET', meta_key, 'rid', 'quiet', 'ttl')
  local quiet = tonumber(known[2] or '0')
  local replid, second_offset = replication_facts()
  if replid and replid ~= known[1] then
    if known[1] then
      local wait = tonumber(known[3] or '0')
      if grace ~= '' then
        quiet = now_ms + tonumber(grace)
      elseif second_offset ~= '-1' then
        quiet = now_ms + wait
      else
        quiet = server_started_ms() + wait
      end
      redis.call('HSET', meta_key, 'rid', replid, 'quiet', F(quiet))
    else
      redis.call('HSET', meta_key, 'rid', replid)
    end
  end
  if quiet > now_ms then return quiet end
  return 0
end
