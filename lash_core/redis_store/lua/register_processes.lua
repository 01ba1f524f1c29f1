-- register_processes: insert new rows into their queues, or find rows that have the same registration.
--
-- KEYS[1] meta     hash    change sequence, rows per status
-- KEYS[2] changes  zset    process id -> change sequence
-- KEYS[3] notices  stream  gets a ready notice when a queue had no due row
-- KEYS[4] outbox   stream  grant and watch steps
-- KEYS[5..] queues, each a zset process id -> due ms; then two keys an item: registration (string), control (hash);
--           with a grant one more: the item's grants (hash)
-- ARGV[1] queues       int   number of queue keys
-- ARGV[2] notices_max  int   bound of the notice stream
-- ARGV[3] scope_id     str   '' = no grant; a grant goes with a single item
-- ARGV[4] grant        str   the grant's JSON
-- ARGV[5] grants_step  str   the grant's outbox step
-- ARGV[6..] eight an item: process id, registration hash, registration text, disposition letter, number of its queue,
--           due ms or '', delay ms or '', watch step or ''
-- RETURNS now_ms, then a word an item: created | exists | conflict <hash>, then the ids of the outbox entries
-- INVARIANT a row keeps the registration that it was created with.
-- INVARIANT a running row is in exactly one of its queue and the lease set.
-- CLOCK Redis TIME; due times in the past become now.
--- @include now
--- @include bump_change
--- @include ready

local queues, notices_max = tonumber(ARGV[1]), ARGV[2]
local granted = ARGV[3] ~= ''
local count = (#ARGV - 5) / 8
local reply, entries, created = { F(now_ms) }, {}, {}
for i = 1, count do
  local a, k = 5 + (i - 1) * 8, 4 + queues + (i - 1) * 2
  local process_id, hash = ARGV[a + 1], ARGV[a + 2]
  local text_key, control_key = KEYS[k + 1], KEYS[k + 2]
  local stored = redis.call('HGET', control_key, 'dg')
  if not stored then
    local due, delay = tonumber(ARGV[a + 6]), tonumber(ARGV[a + 7])
    if not due and delay then due = now_ms + delay end
    local now = F(now_ms)
    redis.call('SET', text_key, ARGV[a + 3])
    redis.call('HSET', control_key, 'v', 1, 'st', 'r', 'dp', ARGV[a + 4], 'dg', hash, 'ca', now, 'ua', now)
    local score = now
    if due and due > now_ms then
      score = F(due)
      redis.call('HSET', control_key, 'du', score)
    end
    if ARGV[a + 4] == 'e' then score = '+inf' end
    put_ready(KEYS[4 + tonumber(ARGV[a + 5])], process_id, score, KEYS[3], notices_max)
    if ARGV[a + 8] ~= '' then
      entries[#entries + 1] = redis.call('XADD', KEYS[4], '*', 'o', ARGV[a + 8])
    end
    created[#created + 1] = process_id
    reply[i + 1] = 'created'
  elseif stored == hash then
    reply[i + 1] = 'exists'
  else
    reply[i + 1] = 'conflict ' .. stored
  end
end
if granted and (reply[2] == 'created' or reply[2] == 'exists') then
  redis.call('HSET', KEYS[5 + queues + 2 * count], ARGV[3], ARGV[4])
  entries[#entries + 1] = redis.call('XADD', KEYS[4], '*', 'o', ARGV[5])
end
if #created > 0 then
  bump_changes(KEYS[1], KEYS[2], created)
  redis.call('HINCRBY', KEYS[1], 'n:r', #created)
  -- No key lists the queues, so the gauges read their names here; a thousand are more than any fleet serves.
  for n = 1, queues do
    local name = 'q:' .. string.match(KEYS[4 + n], '}:rdy:(.*)$')
    if redis.call('HEXISTS', KEYS[1], name) == 0 and redis.call('HLEN', KEYS[1]) < 1000 then
      redis.call('HSET', KEYS[1], name, 1)
    end
  end
end
for i = 1, #entries do reply[#reply + 1] = entries[i] end
return reply
