-- open_turn: note the beginning of a session's turn, or answer how the turn of this id was noted.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua; then [15] journal (hash) of the turn that was open before,
--           [16] scopes (zset), [17] journal (hash) of the turn that begins
-- ARGV[1] session_id   str
-- ARGV[2] fence        str  of the session's lease, with the owner's digest
-- ARGV[3] lease_token  str
-- ARGV[4] turn_id      str
-- ARGV[5] facts        str  JSON
-- ARGV[6] batch_ids    str  each with a line feed behind it
-- ARGV[7] former       str  the other turn that the caller saw open, or ''
-- ARGV[8] former_scope str  hash of its scope, or ''
-- RETURNS opened | again noted batch_ids deaths | changed turn_id | lost why
-- INVARIANT a turn that begins has no journal: what a pruned process left of a turn of the same id is never replayed.
-- INVARIANT at most one turn of a session is open, and a turn that is open stays as it was noted first.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
--- @include session_turn
local keys = session_keys(1, ARGV[1])
local fault = session_lease_fault(keys, ARGV[2], ARGV[3])
if fault then return { 'lost', fault } end
local open = open_turn_id(keys)
if open == ARGV[4] then
  local deaths = read_deaths(keys.deaths, keys.sid)
  local noted = redis.call('HMGET', keys.head, 'ot', 'ob')
  return { 'again', noted[1], noted[2] or '', deaths }
end
if (open or '') ~= ARGV[7] then return { 'changed', open or '' } end
if open then
  redis.call('DEL', KEYS[15])
  redis.call('ZREM', KEYS[16], ARGV[8])
  redis.call('HDEL', keys.head, 'ob', 'tw')
end
redis.call('DEL', KEYS[17])
redis.call('HSET', keys.head, 'ot', ARGV[4] .. '\n' .. ARGV[5])
take_in(keys, ARGV[6])
note_progress(keys, true)
return { 'opened' }
