-- commit_runtime_state: write one change of a session, all of it or nothing.
--
-- KEYS[1] nodes         hash   node -> parent and JSON
-- KEYS[2] node_order    zset   node -> append index
-- KEYS[3] tombstones    set
-- KEYS[4] usage         hash   counter, source and model -> tokens
-- KEYS[5] blobs         hash   digest -> blob, or @
-- KEYS[6] stamps        hash   '#<turn>' -> stamp, '=<turn>' -> the turn's own result
-- KEYS[7] stamp_order   list   turns, oldest first
-- KEYS[8] attachments   hash
-- KEYS[9] journal       hash   of the turn that ends
-- KEYS[10] scopes       zset   scope -> ms
-- KEYS[11..] the keys of includes/session_keys.lua
-- ARGV[1] session_id      str
-- ARGV[2] expected        str   head revision, 0 = no head, '' = any
-- ARGV[3] fence           str   of the lease, '' = none
-- ARGV[4] lease_token     str
-- ARGV[5] release_fence   str   '' = the lease is kept
-- ARGV[6] release_token   str
-- ARGV[7] turn_id         str   '' = no stamp
-- ARGV[8] turn_hash       str
-- ARGV[9] result          str   JSON: what the commit answers, without what is decided here
-- ARGV[10] turn_result    str   JSON, '' = none
-- ARGV[11] head           str   JSON
-- ARGV[12] config         str   JSON
-- ARGV[13] frames         str   JSON
-- ARGV[14] checkpoint     str   JSON
-- ARGV[15] leaf           str   '=' and the node, '' = none
-- ARGV[16] scope          str   hash of the turn's scope
-- ARGV[17] owner_token    str   of the turn, for its intents of attachments
-- ARGV[18] interrupted    str   turn whose inputs go to the next one, '' = none
-- ARGV[19] blob_family    str   what stands before a digest in a ref
-- ARGV[20] stamps_max     int
-- ARGV[21] results_max    int   turns whose own result is kept
-- ARGV[22] blobs_max      int   more than that, and than twice those in use, and the unused ones go
-- ARGV[23] queued_max     int
-- ARGV[24] receipts_max   int
-- ARGV[25] receipt_bytes_max   int
-- ARGV[26..] lists, each behind its number of items: 3 digests of tool state, plugins, execution state or '' · kept: digests that
--           must be there · blobs: digest, text · nodes: id, stored · usage: field, tokens · settled rows: claim, token, batch
--           · settled inputs: claim, token, input · outbox: batch, facts, available, source, body · attachments: digests
-- RETURNS committed revision, then id, header and body of each batch of the outbox | replayed stamp
--       | turn_conflict | lease why | absent | head revision | queue batch | input id | ref digest | full
-- INVARIANT every check comes before every write, in the order of the contract; a stamp needs no live lease.
-- INVARIANT the revision rises by one; settled rows leave with the commit that settles them, or not at all.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
--- @include session_queue
--- @include session_inputs
--- @include session_turn
--- @include session_garbage
--- @include attachment_refs
local keys = session_keys(11, ARGV[1])
local turn_id = ARGV[7]
local at = 25
local function list(width)
  at = at + 1
  local items, count = {}, tonumber(ARGV[at])
  for item = 1, count do
    local one = {}
    for part = 1, width do one[part] = ARGV[at + (item - 1) * width + part] end
    items[item] = one
  end
  at = at + count * width
  return items
end
local refs, kept, blobs, nodes, usage = list(1), list(1), list(2), list(2), list(2)
local settled_rows, settled_inputs, outbox, attachments = list(3), list(3), list(5), list(1)

local function release()
  return ARGV[5] ~= '' and drop_session_lease(keys, ARGV[5], ARGV[6])
end
local stamp = turn_id ~= '' and redis.call('HGET', KEYS[6], '#' .. turn_id)
if stamp then
  if string.match(stamp, '^%d+;([^;]*);') ~= ARGV[8] then return { 'turn_conflict' } end
  if release() then set_due(keys) end
  return { 'replayed', stamp }
end
local fault = ARGV[3] == '' and 'missing' or session_lease_fault(keys, ARGV[3], ARGV[4])
if fault then return { 'lease', fault } end
local row = redis.call('HMGET', keys.head, 'meta', 'head', 'r', 'nn', 'bk')
if not row[1] then return { 'absent' } end
local revision = row[2] and row[3] or '0'
if ARGV[2] ~= '' and ARGV[2] ~= revision then return { 'head', revision } end
for _, one in ipairs(settled_rows) do
  if claim_fault(keys, one[1], one[2], one[3]) then return { 'queue', one[3] } end
end
for _, one in ipairs(settled_inputs) do
  if input_claim_fault(keys, one[1], one[2], one[3]) then return { 'input', one[3] } end
end
for _, one in ipairs(kept) do
  if redis.call('HEXISTS', KEYS[5], one[1]) == 0 then return { 'ref', one[1] } end
end
local added = 0
for _, batch in ipairs(outbox) do
  if not batch_of_source(keys, batch[4]) then added = added + 1 end
end
if added > 0 and queue_is_full(keys, added - #settled_rows, tonumber(ARGV[23])) then return { 'full' } end

local limits = { receipts = tonumber(ARGV[24]), bytes = tonumber(ARGV[25]) }
for _, one in ipairs(settled_rows) do drop_row(keys, one[3], limits) end
for _, one in ipairs(settled_inputs) do complete_input(keys, one[3]) end
if ARGV[18] ~= '' then defer_inputs(keys, ARGV[18]) end

local next_index, hidden = tonumber(row[4] or '0') + 1, redis.call('EXISTS', KEYS[3]) == 1
for _, node in ipairs(nodes) do
  redis.call('HSET', KEYS[1], node[1], node[2])
  next_index = next_index + redis.call('ZADD', KEYS[2], 'NX', F(next_index), node[1])
  if hidden then redis.call('SREM', KEYS[3], node[1]) end
end
for _, one in ipairs(usage) do redis.call('HINCRBY', KEYS[4], one[1], one[2]) end
for _, blob in ipairs(blobs) do redis.call('HSET', KEYS[5], blob[1], blob[2]) end
-- A sweep looks for each blob in these texts: twice as many as it kept last are worth the next one.
if redis.call('HLEN', KEYS[5]) > math.max(tonumber(ARGV[22]), 2 * tonumber(row[5] or '0')) then
  redis.call('HSET', keys.head, 'bk', (sweep_blobs(KEYS[5], ARGV[19], ARGV[14] .. ARGV[13])))
end
revision = F(tonumber(revision) + 1)
redis.call('HSET', keys.head, 'r', revision, 'head', ARGV[11], 'cfg', ARGV[12], 'fr', ARGV[13], 'cp', ARGV[14], 'nn',
  F(next_index - 1))
local facts = { lf = ARGV[15] ~= '' and string.sub(ARGV[15], 2), tr = refs[1][1], pr = refs[2][1], er = refs[3][1] }
for field, value in pairs(facts) do
  if value and (value ~= '' or field == 'lf') then
    redis.call('HSET', keys.head, field, value)
  else
    redis.call('HDEL', keys.head, field)
  end
end
if turn_id ~= '' or #attachments > 0 then
  local named = {}
  for _, one in ipairs(attachments) do named[one[1]] = true end
  local _, fields = stamp_refs(KEYS[8], ARGV[17], named)
  if fields > 0 and turn_id ~= '' then redis.call('HSET', KEYS[8], 'last', F(now_ms) .. ';' .. turn_id) end
end

local reply = { 'committed', revision }
for _, batch in ipairs(outbox) do
  local draft = { id = batch[1], facts = batch[2], available = batch[3], source = batch[4], body = batch[5] }
  local seq, id, header, body = put_row(keys, draft)
  if seq then id, header, body = draft.id, redis.call('HGET', keys.rows, 'h' .. draft.id), draft.body end
  for _, value in ipairs({ id, header, body }) do reply[#reply + 1] = value end
end
if turn_id == '' then
  note_progress(keys, open_turn_id(keys) ~= nil)
else
  local parts = { revision, ARGV[9] }
  for place = 3, #reply do parts[place] = reply[place] end
  redis.call('HSET', KEYS[6], '#' .. turn_id, '1;' .. ARGV[8] .. ';' .. cjson.encode(parts))
  if ARGV[10] ~= '' then redis.call('HSET', KEYS[6], '=' .. turn_id, ARGV[10]) end
  local count = redis.call('RPUSH', KEYS[7], turn_id)
  local faded = count > tonumber(ARGV[21]) and redis.call('LINDEX', KEYS[7], -tonumber(ARGV[21]) - 1)
  if faded then redis.call('HDEL', KEYS[6], '=' .. faded) end
  if count > tonumber(ARGV[20]) then redis.call('HDEL', KEYS[6], '#' .. redis.call('LPOP', KEYS[7])) end
  redis.call('DEL', KEYS[9])
  redis.call('ZREM', KEYS[10], ARGV[16])
  close_turn(keys, turn_id)
end
release()
set_due(keys)
redis.call('SPUBLISH', keys.channel, 'commit ' .. revision)
return reply
