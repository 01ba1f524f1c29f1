-- resolve_process_promise: resolve a promise of a process, also before anybody waits; the first resolution stays.
--
-- KEYS[1] control   hash    the row
-- KEYS[2] promises  hash    key id -> p or t (pending; t = turn control) or the resolution's JSON
-- KEYS[3] owners    hash    process id -> lease
-- KEYS[4] marks     hash    process id -> marks for the holder
-- KEYS[5] queue     zset    process id -> due ms, the row's own queue
-- KEYS[6] notices   stream
-- ARGV[1] process_id      str
-- ARGV[2] hash            str  the registration that the caller took the queue from
-- ARGV[3] field           str
-- ARGV[4] resolution      str  JSON
-- ARGV[5] promises_max    int
-- ARGV[6] notices_max     int
-- ARGV[7] owner_channels  str  prefix of the holders' channels
-- ARGV[8] done_channel    str  channel of those who wait
-- RETURNS accepted | resolved resolution | cancelled (the row has ended) | unknown | stale | full
-- INVARIANT a resolution never changes, and the run that may wait for it is told in the same unit.
-- CLOCK Redis TIME.
--- @include now
--- @include ready
--- @include notify_holder
--- @include tell_row
local row = row_to_tell(KEYS[1])
if not row.st then return { 'unknown' } end
local stored = redis.call('HGET', KEYS[2], ARGV[3])
if stored and stored ~= 'p' and stored ~= 't' then return { 'resolved', stored } end
if row.st ~= 'r' then return { 'cancelled' } end
if row.dg ~= ARGV[2] then return { 'stale' } end
if not stored and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[5]) then return { 'full' } end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
local keys = { owners = KEYS[3], marks = KEYS[4], queue = KEYS[5], notices = KEYS[6] }
tell_row(row, keys, ARGV[1], 'signal', ARGV[6], ARGV[7])
redis.call('SPUBLISH', ARGV[8], 'promise')
return { 'accepted' }
