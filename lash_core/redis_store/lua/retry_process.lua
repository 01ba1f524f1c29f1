#!lua flags=allow-oom
-- retry_process: give a lease back so that the whole process runs again after a while; recorded failures are dropped.
--
-- KEYS[1] control   hash    the row
-- KEYS[2] owners    hash    process id -> lease
-- KEYS[3] leases    zset    process id -> expiry ms
-- KEYS[4] changes   zset    process id -> change sequence
-- KEYS[5] meta      hash
-- KEYS[6] marks     hash    process id -> marks for the holder
-- KEYS[7] notices   stream
-- KEYS[8] queue     zset    process id -> due ms, the row's own queue
-- KEYS[9] audit     list
-- KEYS[10] journal  hash    field -> entry
-- KEYS[11] blobs    hash    field -> outcome over 16 KB
-- ARGV[1] process_id    str
-- ARGV[2] fence         str
-- ARGV[3] token         str
-- ARGV[4] acknowledged  int  fenced writes that the caller saw accepted
-- ARGV[5] write_id      str  of this lease's only retry
-- ARGV[6] delay_ms      int
-- ARGV[7] detail        str  JSON
-- ARGV[8] notices_max   int
-- ARGV[9..] journal fields to drop
-- RETURNS retried retries | again retries | unknown | lost why | behind fenced_writes | terminal
-- INVARIANT a running row without a lease is in its queue; only a cancel makes this one due before its time.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include fence
--- @include fenced_fact
--- @include ready
local row = redis.call('HMGET', KEYS[1], 'st', 'wn', 'wl', 'rt', 'jb', 'cr', 'du')
if not row[1] then return { 'unknown' } end
if is_repeat(row[3]) then return { 'again', tonumber(row[4] or '0') } end
local writes = tonumber(row[2] or '0')
local refused = fact_fault(writes)
if refused then return refused end
if row[1] ~= 'r' then return { 'terminal' } end
local bytes, retries = tonumber(row[5] or '0'), tonumber(row[4] or '0') + 1
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[6], ARGV[1])
for i = 9, #ARGV do
  for _, key in ipairs({ KEYS[10], KEYS[11] }) do
    local stored = redis.call('HGET', key, ARGV[i])
    if stored then
      redis.call('HDEL', key, ARGV[i])
      bytes = bytes - #ARGV[i] - #stored
    end
  end
end
redis.call('HDEL', KEYS[1], 'wt', 'pk')
count_fact(writes)
redis.call('HINCRBY', KEYS[1], 'at', 1)
redis.call('HSET', KEYS[1], 'rt', retries, 'jb', F(bytes), 'ua', F(now_ms))
redis.call('RPUSH', KEYS[9], '{"at_ms":' .. F(now_ms) .. ',"evidence":{"detail":' .. ARGV[7] .. ',"retries":' .. retries
  .. '},"kind":"retry"}')
redis.call('LTRIM', KEYS[9], -50, -1)
local due = math.max(now_ms + tonumber(ARGV[6]), tonumber(row[7] or '0'))
if row[6] then due = now_ms end
put_ready(KEYS[8], ARGV[1], F(due), KEYS[7], ARGV[8])
bump_change(KEYS[5], KEYS[4], ARGV[1])
return { 'retried', retries }
