#!lua flags=allow-oom
-- release_process_leases: give leases back before a terminal event and say when the rows may be claimed again.
--
-- KEYS[1] owners   hash    process id -> lease
-- KEYS[2] leases   zset    process id -> expiry ms
-- KEYS[3] marks    hash    process id -> marks for the holder
-- KEYS[4] notices  stream  ready notices
-- KEYS[5] meta     hash    change sequence
-- KEYS[6] changes  zset    process id -> change sequence
-- KEYS[7..] three an item: control (hash), audit (list), queue (zset process id -> due ms)
-- ARGV[1] notices_max  int
-- ARGV[2..] an item: process id, fence ('' = any, the token decides, also after expiry), token, kind (released, parked,
--           yielded, declined), due ('' = now, inf, or ms from now), kind of the audit entry or '', its detail as JSON, id of this
--           release, marks that the run has seen ('' = none), n, then n names and values of the first start's control fields
-- RETURNS a word an item: ok | done (this release was here before) | unknown | lost <expired, taken or released>
-- INVARIANT a running row without a lease is in its queue.
-- INVARIANT what was marked since the run last looked makes the row due at once, so that no event is slept through.
-- CLOCK Redis TIME.
--- @include now
--- @include bump_change
--- @include fence
--- @include ready

local function note(audit_key, kind, detail)
  local count = ''
  if kind ~= 'yield' then
    -- Declines in a row are one entry with a count, and so are parks, so that they push out no evidence.
    local last = redis.call('LINDEX', audit_key, -1)
    if last and string.find(last, '"kind":"' .. kind .. '"}', 1, true) then
      redis.call('RPOP', audit_key)
      count = '"count":' .. (tonumber(string.match(last, '"count":(%d+)') or '1') + 1) .. ','
    end
  end
  redis.call('RPUSH', audit_key, '{"at_ms":' .. F(now_ms) .. ',"evidence":{' .. count .. '"detail":' .. detail
    .. '},"kind":"' .. kind .. '"}')
  redis.call('LTRIM', audit_key, -50, -1)
end

-- When the row may be claimed again (docs/adr/0041): what happened since the claim makes it due at once, for the run may
-- not have seen it. A given time also counts for started owner-bound work, so that a decline offers it to another worker.
local function score_after(due, facts, marked)
  if facts.dp == 'e' and not facts.ar then return '+inf' end
  if marked then return F(now_ms) end
  local waits_for_evidence = due == '' and facts.dp == 'o' and facts.fo and not facts.ar
  if due == 'inf' or waits_for_evidence then return '+inf' end
  return F(math.max(now_ms + tonumber(due == '' and '0' or due), tonumber(facts.du or '0')))
end

local reply, i, a = {}, 0, 1
while a < #ARGV do
  i = i + 1
  local k, started = 6 + (i - 1) * 3, tonumber(ARGV[a + 10])
  local process_id, kind, control = ARGV[a + 1], ARGV[a + 4], KEYS[k + 1]
  local own = redis.call('HGET', KEYS[1], process_id)
  local row = redis.call('HMGET', control, 'st', 'dp', 'du', 'ar', 'fo', 'wl', 'pk')
  local mine = own and (ARGV[a + 2] ~= '' and same_lease(own, ARGV[a + 2], ARGV[a + 3])
    or ARGV[a + 2] == '' and select(6, parse_own(own)) == ARGV[a + 3])
  local fault = not mine and (own and 'taken' or 'released')
  if mine and ARGV[a + 2] ~= '' then
    fault = lease_fault(own, redis.call('ZSCORE', KEYS[2], process_id), ARGV[a + 2], ARGV[a + 3])
  end
  if fault then
    if row[6] and string.match(row[6], '^%x+') == ARGV[a + 8] then
      reply[i] = 'done'
    else
      reply[i] = row[1] and 'lost ' .. fault or 'unknown'
    end
  else
    local marks = redis.call('HGET', KEYS[3], process_id)
    local seen = ARGV[a + 9] == '0;0' and marks == false or marks == ARGV[a + 9]
    local marked = (marks or ARGV[a + 9] ~= '') and not seen
    redis.call('HDEL', KEYS[1], process_id)
    redis.call('ZREM', KEYS[2], process_id)
    redis.call('HDEL', KEYS[3], process_id)
    if row[1] then redis.call('HSET', control, 'wl', ARGV[a + 8] .. ';0') end
    if row[1] == 'r' then
      if ARGV[a + 6] ~= '' then note(KEYS[k + 2], ARGV[a + 6], ARGV[a + 7]) end
      if kind ~= 'declined' then redis.call('HINCRBY', control, 'at', 1) end
      if kind == 'parked' then
        redis.call('HSET', control, 'pk', 1)
      elseif row[7] then
        redis.call('HDEL', control, 'pk')
      end
      if started > 0 and not row[5] then
        redis.call('HSET', control, 'ua', F(now_ms), unpack(ARGV, a + 11, a + 10 + 2 * started))
        bump_change(KEYS[5], KEYS[6], process_id)
      end
      local facts = { dp = row[2], du = row[3], ar = row[4], fo = row[5] or started > 0 }
      put_ready(KEYS[k + 3], process_id, score_after(ARGV[a + 5], facts, marked), KEYS[4], ARGV[1])
    end
    reply[i] = 'ok'
  end
  a = a + 10 + 2 * started
end
return reply
