#!lua flags=allow-oom
-- finish_child_start: a recorded child start was carried out: its entry becomes final and its outbox step goes.
--
-- KEYS[1] control  hash    the parent's row
-- KEYS[2] journal  hash    field -> entry
-- KEYS[3] outbox   stream
-- KEYS[4] owners   hash    process id -> lease
-- KEYS[5] marks    hash    process id -> marks for the holder
-- KEYS[6] queue    zset    process id -> due ms, the row's own queue
-- KEYS[7] notices  stream
-- ARGV[1] process_id      str
-- ARGV[2] hash            str  the registration that the caller took the queue from; '' = tell nobody
-- ARGV[3] field           str
-- ARGV[4] entry_id        str  of the outbox step
-- ARGV[5] letter          str  c or f
-- ARGV[6] outcome         str  JSON
-- ARGV[7] notices_max     int
-- ARGV[8] owner_channels  str  prefix of the holders' channels
-- RETURNS finished | gone (the entry is final, or of another life of the id) | stale
-- INVARIANT only the entry that names this outbox step becomes final by it.
-- CLOCK Redis TIME.
--- @include now
--- @include ready
--- @include notify_holder
--- @include tell_row

local row = row_to_tell(KEYS[1])
if ARGV[2] ~= '' and row.dg and row.dg ~= ARGV[2] then return 'stale' end
local text = redis.call('HGET', KEYS[2], ARGV[3])
local facts, tail
if text then facts, tail = string.match(text, '^s;([^;]*;[^;]*;[^;]*;[^;]*);(.*)$') end
local word = 'gone'
if row.st and tail == ARGV[4] then
  local final = ARGV[5] .. ';' .. facts .. ';' .. ARGV[6]
  redis.call('HSET', KEYS[2], ARGV[3], final)
  redis.call('HINCRBY', KEYS[1], 'jb', #final - #text)
  if ARGV[2] ~= '' then
    local keys = { owners = KEYS[4], marks = KEYS[5], queue = KEYS[6], notices = KEYS[7] }
    tell_row(row, keys, ARGV[1], 'signal', ARGV[7], ARGV[8])
  end
  word = 'finished'
end
redis.call('XDEL', KEYS[3], ARGV[4])
return word
