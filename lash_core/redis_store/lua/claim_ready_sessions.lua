#!lua flags=allow-oom
-- claim_ready_sessions: give sessions with due work to one worker, each under its own attempt's lease.
--
-- KEYS[1] meta        hash  fence, failover guard
-- KEYS[2] leases      hash  session id -> lease
-- KEYS[3] expiries    zset  session id -> expiry ms
-- KEYS[4] ready       zset  session id -> due ms
-- KEYS[5] deaths      hash  session id -> deaths and back-off
-- KEYS[6] receipts    hash  's' and owner digest -> request id and reply of its last claim
-- KEYS[7] identities  hash  owner digest -> identity
-- KEYS[8] notices     channel
-- ARGV[1] digest      str  of the worker's incarnation
-- ARGV[2] identity    str  JSON
-- ARGV[3] request_id  str  names this claim; session n gets the token <request id>.<n>
-- ARGV[4] limit       int  sessions to take at most
-- ARGV[5] ttl_ms      int
-- ARGV[6] grace       str  of the failover guard
-- RETURNS now_ms, quiet until or 0, due sessions left, when the next one becomes due or 0, first fence, claimed ms, then session
--         id and deaths of each; session n has the fence first + n - 1
-- INVARIANT a claim that is repeated with its request id gives the same sessions, so a lost reply loses none.
-- INVARIANT a session with a live lease is never given; fences only rise; only fixed keys are touched.
-- CLOCK Redis TIME decides what is due and expired.
--- @include now
--- @include guard
--- @include take_lease
--- @include next_due
--- @include session_due

local digest, request_id, now = ARGV[1], ARGV[3], F(now_ms)
local function answer(quiet, parts)
  local reply = { now, F(quiet), redis.call('ZCOUNT', KEYS[4], '-inf', now), next_due(4, 4) }
  for _, part in ipairs(parts) do reply[#reply + 1] = part end
  return reply
end
local receipt = redis.call('HGET', KEYS[6], 's' .. digest)
if receipt and string.sub(receipt, 1, #request_id + 1) == request_id .. '\n' then
  local parts = {}
  for part in string.gmatch(string.sub(receipt, #request_id + 2), '[^\n]+') do parts[#parts + 1] = part end
  return answer(0, parts)
end
local quiet = quiet_until(KEYS[1], ARGV[6])
if quiet > 0 then return answer(quiet, { '0', '0' }) end

-- A session leaves the due ones by being taken, put back by its back-off, or told the end of its lease, so each round ends
-- with fewer of them; three rounds are enough for what one call may look at.
local limit, taken = tonumber(ARGV[4]), {}
local function look_at(sid)
  local own = redis.call('HGET', KEYS[2], sid)
  local expiry = own and tonumber(redis.call('ZSCORE', KEYS[3], sid) or '0') or 0
  local wait = 0
  if expiry > now_ms then
    redis.call('ZADD', KEYS[4], F(expiry), sid)
    return
  end
  if own then
    redis.call('HDEL', KEYS[2], sid)
    redis.call('ZREM', KEYS[3], sid)
    local _
    _, wait = count_death(KEYS[5], sid)
  end
  if wait > 0 then
    redis.call('ZADD', KEYS[4], F(now_ms + wait), sid)
    redis.call('SPUBLISH', KEYS[8], 'queued_due ' .. F(now_ms + wait) .. ' ' .. sid)
  else
    taken[#taken + 1] = sid
  end
end
for _ = 1, 3 do
  if #taken < limit then
    local before = #taken
    for _, sid in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', before, limit - before)) do look_at(sid) end
  end
end
if #taken == 0 then return answer(0, { '0', '0' }) end

local ttl_ms = tonumber(ARGV[5])
local fence, expiry = next_fence(KEYS[1], #taken, ttl_ms), F(now_ms + ttl_ms)
local parts = { F(fence), now }
for n, sid in ipairs(taken) do
  redis.call('HSET', KEYS[2], sid, F(fence + n - 1) .. ';' .. now .. ';' .. digest .. ';b;' .. request_id .. '.' .. n)
  redis.call('ZADD', KEYS[3], expiry, sid)
  redis.call('ZADD', KEYS[4], expiry, sid)
  parts[#parts + 1] = sid
  parts[#parts + 1] = read_deaths(KEYS[5], sid)
end
redis.call('HSET', KEYS[7], digest, ARGV[2])
redis.call('HSET', KEYS[6], 's' .. digest, request_id .. '\n' .. table.concat(parts, '\n'))
return answer(0, parts)
