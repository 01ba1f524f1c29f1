-- read_session: a session's head with its blobs and its ledger, and the first page of its nodes.
--
-- KEYS[1] head         hash
-- KEYS[2] nodes        hash   node -> parent and JSON
-- KEYS[3] node_order   zset   node -> append index
-- KEYS[4] tombstones   set
-- KEYS[5] usage        hash
-- KEYS[6] blobs        hash   digest -> blob, or @
-- ARGV[1] scope       str   full | path | '=' and the explicit leaf of a path
-- ARGV[2] nodes_max   int
-- ARGV[3] bytes_max   int   of one page; one larger node is a page
-- RETURNS read revision head config frames checkpoint leaf ('' or '=' and its id) last_index usage blobs nodes next
--       | absent | unknown_leaf
-- INVARIANT all of it is of one moment.
-- CLOCK not used.
--- @include session_pages
local row = redis.call('HMGET', KEYS[1], 'head', 'r', 'cfg', 'fr', 'cp', 'lf', 'nn', 'tr', 'pr', 'er')
if not row[1] then
  return { 'absent' }
end
local scope, leaf = ARGV[1], row[6]
local nodes_max, bytes_max = tonumber(ARGV[2]), tonumber(ARGV[3])
if string.sub(scope, 1, 1) == '=' then
  leaf = string.sub(scope, 2)
  if redis.call('HEXISTS', KEYS[2], leaf) == 0 then
    return { 'unknown_leaf' }
  end
end
if leaf and redis.call('SISMEMBER', KEYS[4], leaf) == 1 then
  leaf = nil
end
local last_index, nodes, next = row[7] or '0', {}, ''
if scope == 'full' then
  nodes, next = nodes_in_order(KEYS[2], KEYS[3], KEYS[4], '0', last_index, nodes_max, bytes_max)
elseif leaf then
  nodes, next = nodes_to_root(KEYS[2], KEYS[4], leaf, nodes_max, bytes_max)
end
local blobs = {}
for place = 8, 10 do
  if row[place] then
    blobs[#blobs + 1], blobs[#blobs + 2] = row[place], redis.call('HGET', KEYS[6], row[place]) or ''
  end
end
return {
  'read', row[2], row[1], row[3], row[4], row[5], leaf and '=' .. leaf or '', last_index,
  redis.call('HGETALL', KEYS[5]), blobs, nodes, next,
}
