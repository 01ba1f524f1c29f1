-- tombstone_nodes: hide nodes of a session from all reads.
--
-- KEYS[1] nodes        hash   node -> parent and JSON
-- KEYS[2] tombstones   set
-- ARGV[1..] node_ids   str
-- RETURNS (nodes hidden now)
-- INVARIANT only a node that is stored is hidden; its record stays until vacuum.
-- CLOCK not used.
local hidden = 0
for _, id in ipairs(ARGV) do
  if redis.call('HEXISTS', KEYS[1], id) == 1 then
    hidden = hidden + redis.call('SADD', KEYS[2], id)
  end
end
return hidden
