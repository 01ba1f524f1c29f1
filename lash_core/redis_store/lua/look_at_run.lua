-- look_at_run: what may end a wait of a run, read at one moment: marks, its own events, its own promises.
--
-- KEYS[1] control   hash  the row
-- KEYS[2] events    list  the log
-- KEYS[3] marks     hash  process id -> marks for the holder
-- KEYS[4] promises  hash  key id -> p or t (pending; t = turn control) or the resolution's JSON
-- ARGV[1] process_id      str
-- ARGV[2] after_sequence  int
-- ARGV[3..] fields of the promises that are asked for
-- RETURNS found now_ms marks status registration_hash event_count, then the events' entries, then a value a promise or ''
--       | unknown
-- INVARIANT nothing changes.
-- CLOCK Redis TIME.
--- @include now
local row = redis.call('HMGET', KEYS[1], 'st', 'dg')
if not row[1] then return { 'unknown' } end
local marks = redis.call('HGET', KEYS[3], ARGV[1]) or '0;0'
local events = redis.call('LRANGE', KEYS[2], ARGV[2], -1)
local reply = { 'found', F(now_ms), marks, row[1], row[2], #events }
for i = 1, #events do reply[6 + i] = events[i] end
if #ARGV > 2 then
  for _, value in ipairs(redis.call('HMGET', KEYS[4], unpack(ARGV, 3))) do reply[#reply + 1] = value or '' end
end
return reply
