#!lua flags=allow-oom
-- claim_ready_processes: give due rows of some queues to one worker, each under its own attempt's lease.
--
-- KEYS[1] meta        hash  fence, failover guard
-- KEYS[2] owners      hash  process id -> lease
-- KEYS[3] leases      zset  process id -> expiry ms
-- KEYS[4] marks       hash  process id -> marks for the holder
-- KEYS[5] receipts    hash  owner digest -> request id and reply of its last claim
-- KEYS[6] identities  hash  owner digest -> identity
-- KEYS[7..] queues, each a zset process id -> due ms, in the order in which they are served
-- ARGV[1] digest      str  of the worker's incarnation
-- ARGV[2] identity    str  JSON
-- ARGV[3] request_id  str  names this claim; row n gets the token <request id>.<n>
-- ARGV[4] limit       int  rows to take at most
-- ARGV[5] ttl_ms      int
-- ARGV[6] grace       str  of the failover guard
-- ARGV[7..] name of each queue
-- RETURNS now_ms, quiet until or 0, due rows left, expired leases, when the next row becomes due or 0, first fence, claimed ms,
--         then queue number, process id and due ms of each row; row n has the fence first + n - 1
-- INVARIANT a claim that is repeated with its request id gives the same rows, so a lost reply loses none.
-- INVARIANT fences only rise; only fixed keys are touched, rows are read afterwards, under the lease.
-- CLOCK Redis TIME decides what is due.
--- @include now
--- @include guard
--- @include take_lease
--- @include next_due

local digest, request_id = ARGV[1], ARGV[3]
local function due_rows()
  local due = 0
  for q = 7, #ARGV do due = due + redis.call('ZCOUNT', KEYS[q], '-inf', F(now_ms)) end
  return due, redis.call('ZCOUNT', KEYS[3], '-inf', F(now_ms)), next_due(7, #ARGV)
end

local receipt = redis.call('HGET', KEYS[5], digest)
if receipt and string.sub(receipt, 1, #request_id + 1) == request_id .. '\n' then
  local due, expired, later = due_rows()
  local reply = { F(now_ms), '0', due, expired, later }
  for part in string.gmatch(string.sub(receipt, #request_id + 2), '[^\n]+') do reply[#reply + 1] = part end
  return reply
end
local quiet = quiet_until(KEYS[1], ARGV[6])
if quiet > 0 then
  local due, expired, later = due_rows()
  return { F(now_ms), F(quiet), due, expired, later, '0', '0' }
end
local left, taken = tonumber(ARGV[4]), {}
for q = 7, #ARGV do
  if left > 0 then
    local found = redis.call('ZRANGEBYSCORE', KEYS[q], '-inf', F(now_ms), 'WITHSCORES', 'LIMIT', 0, left)
    if #found > 0 then
      local ids = {}
      for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
      redis.call('ZREM', KEYS[q], unpack(ids))
      taken[q] = found
      left = left - #ids
    end
  end
end
local count = tonumber(ARGV[4]) - left
local due, expired, later = due_rows()
if count == 0 then return { F(now_ms), '0', due, expired, later, '0', '0' } end

local ttl_ms, now, n = tonumber(ARGV[5]), F(now_ms), 0
local fence, expiry = next_fence(KEYS[1], count, ttl_ms), F(now_ms + ttl_ms)
local parts, owned, leased, marked = { F(fence), now }, {}, {}, {}
for q = 7, #ARGV do
  local found = taken[q] or {}
  for i = 1, #found, 2 do
    local process_id = found[i]
    n = n + 1
    owned[2 * n - 1] = process_id
    owned[2 * n] = F(fence + n - 1) .. ';' .. now .. ';' .. digest .. ';b;' .. ARGV[q] .. ';' .. request_id .. '.' .. n
    leased[2 * n - 1] = expiry
    leased[2 * n] = process_id
    marked[n] = process_id
    parts[#parts + 1] = q - 6
    parts[#parts + 1] = process_id
    parts[#parts + 1] = found[i + 1]
  end
end
redis.call('HSET', KEYS[2], unpack(owned))
redis.call('ZADD', KEYS[3], unpack(leased))
redis.call('HDEL', KEYS[4], unpack(marked))
redis.call('HSET', KEYS[6], digest, ARGV[2])
redis.call('HSET', KEYS[5], digest, request_id .. '\n' .. table.concat(parts, '\n'))
local reply = { now, '0', due, expired, later }
for i = 1, #parts do reply[#reply + 1] = parts[i] end
return reply
