#!lua flags=allow-oom
-- tell_process: tell a row that a process that it watches has ended.
--
-- KEYS[1] control  hash    the watcher's row
-- KEYS[2] owners   hash    process id -> lease
-- KEYS[3] marks    hash    process id -> marks for the holder
-- KEYS[4] queue    zset    process id -> due ms, the row's own queue
-- KEYS[5] notices  stream
-- ARGV[1] process_id      str
-- ARGV[2] hash            str  the registration that the caller took the queue from
-- ARGV[3] notices_max     int
-- ARGV[4] owner_channels  str  prefix of the holders' channels
-- RETURNS told | ended | unknown | stale
-- INVARIANT a second telling wakes once more than needed and changes nothing else.
-- CLOCK Redis TIME.
--- @include now
--- @include ready
--- @include notify_holder
--- @include tell_row
local row = row_to_tell(KEYS[1])
if not row.st then return 'unknown' end
if row.dg ~= ARGV[2] then return 'stale' end
if row.st ~= 'r' then return 'ended' end
local keys = { owners = KEYS[2], marks = KEYS[3], queue = KEYS[4], notices = KEYS[5] }
tell_row(row, keys, ARGV[1], 'signal', ARGV[3], ARGV[4])
return 'told'
