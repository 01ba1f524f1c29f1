-- move_grant: the process's side of a transfer, once per transfer.
--
-- KEYS[1] control   hash   the row, for its existence
-- KEYS[2] grants    hash   scope id -> grant; '\n' -> ids of the last steps applied here, newest last
-- ARGV[1] request_id   str   of the transfer
-- ARGV[2] source       str   scope id
-- ARGV[3] target       str   scope id
-- ARGV[4] grant        str   JSON
-- RETURNS moved | again | gone
-- INVARIANT a second delivery of one transfer changes nothing, so it cannot undo a later grant or revoke.
-- CLOCK not used.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'gone'
end
local applied = redis.call('HGET', KEYS[2], '\n') or ''
if string.find(applied, ARGV[1] .. ';', 1, true) then
  return 'again'
end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
-- Eight ids: a second delivery is seconds behind the first, not eight transfers of the same handle.
applied = applied .. ARGV[1] .. ';'
local _, count = string.gsub(applied, ';', '')
if count > 8 then
  applied = string.gsub(applied, '^[^;]*;', '', 1)
end
redis.call('HSET', KEYS[2], '\n', applied)
return 'moved'
