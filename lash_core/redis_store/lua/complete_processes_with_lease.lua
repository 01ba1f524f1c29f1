#!lua flags=allow-oom
-- complete_processes_with_lease: write terminal events and release their leases; each item is its own atomic unit.
--
-- KEYS[1] owners   hash    process id -> lease
-- KEYS[2] leases   zset    process id -> expiry ms
-- KEYS[3] marks    hash    process id -> marks for the holder
-- KEYS[4] meta     hash    change sequence, rows per status
-- KEYS[5] changes  zset    process id -> change sequence
-- KEYS[6] notices  stream  one done notice a call
-- KEYS[7..] three an item: control (hash), events (list), audit (list)
-- ARGV[1] notices_max    int
-- ARGV[2] done_channels  str  prefix of the channels of those who wait
-- ARGV[3..] an item: process id, fence, token, acknowledged fenced writes, replay field, body, status letter, audit
--           ('' none, poison, or the JSON of an abandonment's evidence), n, then n names and values of the first start's
--           control fields
-- RETURNS a word an item: ok | stored | conflict | unknown | terminal | lost <why> | behind <fenced writes>
-- INVARIANT a row has at most one terminal event, and only the holder of the live lease writes it here.
-- INVARIANT what is removed is removed first, so that a full server can finish.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include fence

local reply, done, ids, lease_of, expiry_of = {}, {}, {}, {}, {}
local starts, at = {}, 3
while at <= #ARGV do
  starts[#starts + 1], ids[#ids + 1] = at, ARGV[at]
  at = at + 9 + 2 * tonumber(ARGV[at + 8])
end
local owned, expiries = redis.call('HMGET', KEYS[1], unpack(ids)), redis.call('ZMSCORE', KEYS[2], unpack(ids))
for i = 1, #ids do
  lease_of[ids[i]], expiry_of[ids[i]] = owned[i], expiries[i]
end
local now, letters = F(now_ms), {}
for i, a in ipairs(starts) do
  local control, log, process_id = KEYS[4 + 3 * i], KEYS[5 + 3 * i], ARGV[a]
  local field, body, letter = ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]
  local facts = redis.call('HMGET', control, 'st', 'q', 'wn', 'lb', 'at', 'wt', 'fo', 'dt', field)
  local fault = lease_fault(lease_of[process_id], expiry_of[process_id], ARGV[a + 1], ARGV[a + 2])
  local writes = tonumber(facts[3] or '0')
  if not facts[1] then
    reply[i] = 'unknown'
  elseif facts[9] then
    local entry = redis.call('LINDEX', log, tonumber(facts[9]) - 1)
    local same = string.sub(entry, string.find(entry, ';', 1, true) + 1) == body
    reply[i] = same and 'stored' or 'conflict'
  elseif fault then
    reply[i] = 'lost ' .. fault
  elseif writes < tonumber(ARGV[a + 3]) then
    reply[i] = 'behind ' .. writes
  elseif facts[1] ~= 'r' then
    reply[i] = 'terminal'
  else
    redis.call('HDEL', KEYS[1], process_id)
    redis.call('ZREM', KEYS[2], process_id)
    redis.call('HDEL', KEYS[3], process_id)
    lease_of[process_id] = false
    if facts[6] then redis.call('HDEL', control, 'wt') end
    local sequence = F(tonumber(facts[2] or '0') + 1)
    redis.call('RPUSH', log, now .. ';' .. body)
    local size, attempt = tonumber(facts[4] or '0') + #body, tonumber(facts[5] or '0') + 1
    redis.call('HSET', control, 'st', letter, 'te', sequence, 'q', sequence, 'ua', now, 'wn', F(writes + 1), 'lb',
      F(size), 'at', attempt, field, sequence)
    local audit, started = ARGV[a + 7], tonumber(ARGV[a + 8])
    if started > 0 and not facts[7] then redis.call('HSET', control, unpack(ARGV, a + 9, a + 8 + 2 * started)) end
    if audit ~= '' then
      local kind = audit == 'poison' and 'poison' or 'abandon'
      local evidence = audit == 'poison' and '{"deaths":' .. (facts[8] or '0') .. '}' or audit
      redis.call('RPUSH', KEYS[6 + 3 * i], '{"at_ms":' .. now .. ',"evidence":' .. evidence .. ',"kind":"' .. kind .. '"}')
      redis.call('LTRIM', KEYS[6 + 3 * i], -50, -1)
    end
    bump_change(KEYS[4], KEYS[5], process_id)
    redis.call('SPUBLISH', ARGV[2] .. process_id, sequence)
    letters[letter] = (letters[letter] or 0) + 1
    done[#done + 1] = process_id
    reply[i] = 'ok'
  end
end
if #done > 0 then
  redis.call('HINCRBY', KEYS[4], 'n:r', -#done)
  for letter, count in pairs(letters) do redis.call('HINCRBY', KEYS[4], 'n:' .. letter, count) end
  redis.call('XADD', KEYS[6], 'MAXLEN', '~', ARGV[1], '*', 'k', 'done', 'p', table.concat(done, '\n'))
end
return reply
