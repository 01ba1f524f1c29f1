-- watch_processes: note on running rows who is told of their end.
--
-- KEYS[1..] controls, each a hash
-- ARGV[1] watcher_id    str
-- ARGV[2] watchers_max  int
-- RETURNS a word a row: watching | ended | unknown | full
-- INVARIANT a watcher stands once on a row, and a row that has ended has none.
-- CLOCK not used.
local reply = {}
for i = 1, #KEYS do
  local row = redis.call('HMGET', KEYS[i], 'st', 'pw')
  local watchers = row[2] and '\n' .. row[2] .. '\n' or '\n'
  local _, lines = string.gsub(watchers, '\n', '')
  if not row[1] then
    reply[i] = 'unknown'
  elseif row[1] ~= 'r' then
    reply[i] = 'ended'
  elseif string.find(watchers, '\n' .. ARGV[1] .. '\n', 1, true) then
    reply[i] = 'watching'
  elseif lines > tonumber(ARGV[2]) then
    reply[i] = 'full'
  else
    redis.call('HSET', KEYS[i], 'pw', row[2] and row[2] .. '\n' .. ARGV[1] or ARGV[1])
    reply[i] = 'watching'
  end
end
return reply
