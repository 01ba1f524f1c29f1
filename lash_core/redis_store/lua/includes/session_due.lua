-- When the fleet may claim a session, and what stands against it. Needs now.lua, session_keys.lua.
-- keys.deaths has '<deaths>;<losses>;<not before ms>;<1 while a turn is open>': losses are leases in a row that ended without
-- a release or a write, deaths those of them with an open turn (poison).
-- set_due(keys): brings keys.ready to what the session's rows, its lease and its back-off say; every script that changes one of
-- them calls it last. While a lease is live the session is due when that is over, so nobody looks at it before.
-- count_death(deaths_key, session_id): deaths after this one, and ms until the next claim.
-- note_progress(keys, open): a write was accepted; open = a turn is open now.
-- hold_back(keys, until_ms): nobody of the fleet may claim the session before that.
local function read_deaths(deaths_key, session_id)
  local value = redis.call('HGET', deaths_key, session_id) or '0;0;0;0'
  local deaths, losses, not_before, open = string.match(value, '^(%d+);(%d+);(%d+);([01])$')
  return tonumber(deaths), tonumber(losses), tonumber(not_before), open
end
local function write_deaths(deaths_key, session_id, deaths, losses, not_before, open)
  local value = F(deaths) .. ';' .. F(losses) .. ';' .. F(not_before) .. ';' .. open
  if value == '0;0;0;0' then
    redis.call('HDEL', deaths_key, session_id)
  else
    redis.call('HSET', deaths_key, session_id, value)
  end
end
local function set_due(keys)
  local first = redis.call('ZRANGE', keys.due, 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', keys.ready, keys.sid)
    return
  end
  local _, _, not_before = read_deaths(keys.deaths, keys.sid)
  local due = math.max(tonumber(first[2]), not_before)
  local expiry = redis.call('HEXISTS', keys.leases, keys.sid) == 1
    and tonumber(redis.call('ZSCORE', keys.expiries, keys.sid) or '0') or 0
  if expiry > now_ms then due = math.max(due, expiry) end
  local was = tonumber(redis.call('ZSCORE', keys.ready, keys.sid) or 'inf')
  if was == due then return end
  redis.call('ZADD', keys.ready, F(due), keys.sid)
  if expiry > now_ms then return end
  if due > now_ms then
    redis.call('SPUBLISH', keys.notices, 'queued_due ' .. F(due) .. ' ' .. keys.sid)
  elseif was > now_ms then
    redis.call('SPUBLISH', keys.notices, 'queued ' .. keys.sid)
  end
end
-- First takeover at once, then later and later: what kills its workers must not kill them all.
local function count_death(deaths_key, session_id)
  local waits_ms = { 0, 1000, 5000, 15000, 60000 }
  local deaths, losses, not_before, open = read_deaths(deaths_key, session_id)
  if open == '1' then deaths = deaths + 1 end
  losses = losses + 1
  local wait = waits_ms[math.min(losses, #waits_ms)]
  write_deaths(deaths_key, session_id, deaths, losses, math.max(not_before, wait > 0 and now_ms + wait or 0), open)
  return deaths, wait
end
local function note_progress(keys, open)
  local _, _, not_before = read_deaths(keys.deaths, keys.sid)
  write_deaths(keys.deaths, keys.sid, 0, 0, 0, open and '1' or '0')
  if not_before > 0 then set_due(keys) end
end
local function hold_back(keys, until_ms)
  local deaths, losses, not_before, open = read_deaths(keys.deaths, keys.sid)
  write_deaths(keys.deaths, keys.sid, deaths, losses, math.max(not_before, until_ms), open)
end
