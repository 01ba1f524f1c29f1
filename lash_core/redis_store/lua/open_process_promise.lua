-- open_process_promise: create a pending promise of a process unless there is one.
--
-- KEYS[1] control   hash  the row
-- KEYS[2] promises  hash  key id -> p or t (pending; t = turn control) or the resolution's JSON
-- ARGV[1] field         str
-- ARGV[2] pending       str  p or t
-- ARGV[3] promises_max  int
-- RETURNS pending | resolved resolution | cancelled (the row has ended) | unknown | full
-- INVARIANT a promise of a row that has ended and was not resolved reads as cancelled.
-- CLOCK not used.
local status = redis.call('HGET', KEYS[1], 'st')
if not status then return { 'unknown' } end
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if stored and stored ~= 'p' and stored ~= 't' then return { 'resolved', stored } end
if status ~= 'r' then return { 'cancelled' } end
if not stored then
  if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[3]) then return { 'full' } end
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
return { 'pending' }
