-- cancel_process_promises: resolve the pending promises of a process as cancelled, but for turn control.
--
-- KEYS[1] control   hash    the row
-- KEYS[2] promises  hash    key id -> p or t (pending; t = turn control) or the resolution's JSON
-- KEYS[3] owners    hash    process id -> lease
-- KEYS[4] marks     hash    process id -> marks for the holder
-- KEYS[5] queue     zset    process id -> due ms, the row's own queue
-- KEYS[6] notices   stream
-- ARGV[1] process_id      str
-- ARGV[2] hash            str  the registration that the caller took the queue from
-- ARGV[3] resolution      str  JSON
-- ARGV[4] notices_max     int
-- ARGV[5] owner_channels  str  prefix of the holders' channels
-- ARGV[6] done_channel    str  channel of those who wait
-- RETURNS cancelled count | stale
-- INVARIANT a resolution never changes, and the run that may wait for one is told in the same unit.
-- CLOCK Redis TIME.
--- @include now
--- @include ready
--- @include notify_holder
--- @include tell_row
local row = row_to_tell(KEYS[1])
if row.st ~= 'r' then return { 'cancelled', 0 } end
if row.dg ~= ARGV[2] then return { 'stale' } end
local stored, count = redis.call('HGETALL', KEYS[2]), 0
for i = 1, #stored, 2 do
  if stored[i + 1] == 'p' then
    redis.call('HSET', KEYS[2], stored[i], ARGV[3])
    count = count + 1
  end
end
if count > 0 then
  local keys = { owners = KEYS[3], marks = KEYS[4], queue = KEYS[5], notices = KEYS[6] }
  tell_row(row, keys, ARGV[1], 'signal', ARGV[4], ARGV[5])
  redis.call('SPUBLISH', ARGV[6], 'promise')
end
return { 'cancelled', count }
