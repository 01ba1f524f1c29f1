-- fire_tick: emit one tick of a schedule to its own subscription and move the schedule on, once in the fleet.
--
-- KEYS[1] subscriptions  hash   subscription -> row
-- KEYS[2] due            zset   subscription -> ms of its next tick
-- KEYS[3] occurrences    hash   occurrence -> row
-- KEYS[4] settled        zset   occurrence -> ms, those of which nothing waits
-- KEYS[5] deliveries     hash   <occurrence>:<subscription> -> the subscription's row as it was
-- KEYS[6] waiting        zset   <occurrence>:<subscription> -> ms
-- KEYS[7] failures       hash   <occurrence>:<subscription> -> reason
-- KEYS[8] meta           hash   bytes of occurrences
-- ARGV[1] subscription  str   64 hex
-- ARGV[2] stamp         str   <incarnation>;<revision> that it must still have
-- ARGV[3] due_ms        str   the next tick that must still stand there; '' = the schedule stays where it is
-- ARGV[4] next_ms       str   the one after it; '' = there is none any more
-- ARGV[5] tick_ms       int   0 = move the schedule on without a tick
-- ARGV[6] occurrence    str   64 hex
-- ARGV[7] json          str   the tick's names and payload
-- ARGV[8..] limits      int   occurrences, bytes, waiting, bytes that refuse, trimmed a call
-- RETURNS fired, ms, row | exists, ms, row or '', waiting or started or failed, reason or ''
--         | moved | stale | early | waiting | bytes
-- INVARIANT of all workers that see a tick one emits it; a paused, deleted or changed trigger emits nothing.
-- CLOCK Redis TIME; a tick of the future is refused.
--- @include now
local OCC, SETTLED, DLV, RES, FAIL, META = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
--- @include occurrences
--- @include reserve
local subscription, due, tick, occurrence = ARGV[1], ARGV[3], tonumber(ARGV[5]), ARGV[6]
local row = redis.call('HGET', KEYS[1], subscription)
local found = subscription_of(row)
if not found or found.state ~= 'e' or found.stamp ~= ARGV[2] then return { 'stale' } end
if due ~= '' and tonumber(redis.call('ZSCORE', KEYS[2], subscription) or '-1') ~= tonumber(due) then
  return { 'stale' }
end
if tick > now_ms then return { 'early' } end

local reply = { 'moved' }
if tick > 0 then
  local stored = occurrence_of(redis.call('HGET', OCC, occurrence))
  if stored then
    local delivery = occurrence .. ':' .. subscription
    local reason = redis.call('HGET', FAIL, delivery)
    local state = reason and 'failed' or 'started'
    if redis.call('ZSCORE', RES, delivery) then state = 'waiting' end
    reply = { 'exists', stored.at, redis.call('HGET', DLV, delivery) or '', state, reason or '' }
  else
    local limits = { ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12] }
    local word = reserve(occurrence, ARGV[7], { subscription }, { row }, limits)
    if word ~= 'reserved' then return { word } end
    reply = { 'fired', F(now_ms), row }
  end
end
if due ~= '' then
  if ARGV[4] == '' then
    redis.call('ZREM', KEYS[2], subscription)
  else
    redis.call('ZADD', KEYS[2], ARGV[4], subscription)
  end
end
return reply
