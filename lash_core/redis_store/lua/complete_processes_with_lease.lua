#!lua flags=allow-oom
-- complete_processes_with_lease: write terminal events and release their leases; each item is its own atomic unit.
--
-- KEYS[1] owners   hash    process id -> lease
-- KEYS[2] leases   zset    process id -> expiry ms
-- KEYS[3] marks    hash    process id -> marks for the holder
-- KEYS[4] meta     hash    change sequence, rows per status
-- KEYS[5] changes  zset    process id -> change sequence
-- KEYS[6] notices  stream  one done notice a call
-- KEYS[7] outbox   stream  who is told of the ends
-- KEYS[8..] three an item: control (hash), events (list), audit (list)
-- ARGV[1] notices_max    int
-- ARGV[2] done_channels  str  prefix of the channels of those who wait
-- ARGV[3..] an item: process id, fence, token, acknowledged fenced writes, replay field, body, status letter, audit
--           ('' none, poison, or the JSON of an abandonment's evidence), n, then n names and values of the first start's
--           control fields
-- RETURNS a word an item: ok <outbox id and watchers of a watched row> | stored | conflict | unknown | terminal | lost <why> | behind <fenced writes>
-- INVARIANT a row has at most one terminal event, and only the holder of the live lease writes it here.
-- INVARIANT what is removed is removed first, so that a full server can finish.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include fence

local reply, ids, starts, at = {}, {}, {}, 3
while at <= #ARGV do
  starts[#starts + 1], ids[#ids + 1] = at, ARGV[at]
  at = at + 9 + 2 * tonumber(ARGV[at + 8])
end
local owned, expiries = redis.call('HMGET', KEYS[1], unpack(ids)), redis.call('ZMSCORE', KEYS[2], unpack(ids))

-- What an earlier item of this call writes answers a later one of the same row, as if it had been called after it.
local done, places, facts_of, field_of, body_of = {}, {}, {}, {}, {}
for i, a in ipairs(starts) do
  local process_id, field, body = ARGV[a], ARGV[a + 4], ARGV[a + 5]
  local facts = redis.call('HMGET', KEYS[5 + 3 * i], 'st', 'q', 'wn', 'lb', 'at', 'wt', 'fo', 'dt', 'pw', field)
  local fault = lease_fault(owned[i], expiries[i], ARGV[a + 1], ARGV[a + 2])
  if not facts[1] then
    reply[i] = 'unknown'
  elseif facts[10] then
    local entry = redis.call('LINDEX', KEYS[6 + 3 * i], tonumber(facts[10]) - 1)
    local same = string.sub(entry, string.find(entry, ';', 1, true) + 1) == body
    reply[i] = same and 'stored' or 'conflict'
  elseif field_of[process_id] == field then
    reply[i] = body_of[process_id] == body and 'stored' or 'conflict'
  elseif field_of[process_id] then
    reply[i] = 'lost released'
  elseif fault then
    reply[i] = 'lost ' .. fault
  elseif tonumber(facts[3] or '0') < tonumber(ARGV[a + 3]) then
    reply[i] = 'behind ' .. (facts[3] or '0')
  elseif facts[1] ~= 'r' then
    reply[i] = 'terminal'
  else
    done[#done + 1], places[#places + 1] = process_id, i
    facts_of[i], field_of[process_id], body_of[process_id] = facts, field, body
    reply[i] = 'ok'
  end
end
if #done == 0 then return reply end

redis.call('HDEL', KEYS[1], unpack(done))
redis.call('ZREM', KEYS[2], unpack(done))
redis.call('HDEL', KEYS[3], unpack(done))
local now, letters = F(now_ms), {}
for _, i in ipairs(places) do
  local a, control, facts = starts[i], KEYS[5 + 3 * i], facts_of[i]
  local body, letter, audit, started = ARGV[a + 5], ARGV[a + 6], ARGV[a + 7], tonumber(ARGV[a + 8])
  local sequence = F(tonumber(facts[2] or '0') + 1)
  if facts[6] or facts[9] then redis.call('HDEL', control, 'wt', 'pw') end
  redis.call('RPUSH', KEYS[6 + 3 * i], now .. ';' .. body)
  redis.call('HSET', control, 'st', letter, 'te', sequence, 'q', sequence, 'ua', now, 'wn',
    F(tonumber(facts[3] or '0') + 1), 'lb', F(tonumber(facts[4] or '0') + #body), 'at',
    F(tonumber(facts[5] or '0') + 1), ARGV[a + 4], sequence)
  if started > 0 and not facts[7] then redis.call('HSET', control, unpack(ARGV, a + 9, a + 8 + 2 * started)) end
  if audit ~= '' then
    local kind = audit == 'poison' and 'poison' or 'abandon'
    local evidence = audit == 'poison' and '{"deaths":' .. (facts[8] or '0') .. '}' or audit
    redis.call('RPUSH', KEYS[7 + 3 * i], '{"at_ms":' .. now .. ',"evidence":' .. evidence .. ',"kind":"' .. kind .. '"}')
    redis.call('LTRIM', KEYS[7 + 3 * i], -50, -1)
  end
  if facts[9] then
    local entry_id = redis.call('XADD', KEYS[7], '*', 'o', '{"op":"told"}', 'p', ARGV[a], 'w', facts[9])
    reply[i] = 'ok ' .. entry_id .. ' ' .. facts[9]
  end
  redis.call('SPUBLISH', ARGV[2] .. ARGV[a], sequence)
  letters[letter] = (letters[letter] or 0) + 1
end
bump_changes(KEYS[4], KEYS[5], done)
redis.call('HINCRBY', KEYS[4], 'n:r', -#done)
for letter, count in pairs(letters) do redis.call('HINCRBY', KEYS[4], 'n:' .. letter, count) end
redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[1], '*', 'k', 'done', 'p', table.concat(done, '\n'))
return reply
