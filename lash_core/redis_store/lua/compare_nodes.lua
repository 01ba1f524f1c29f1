-- compare_nodes: which of some nodes are not stored as the caller would store them, or are hidden.
--
-- KEYS[1] nodes        hash   node -> parent and JSON
-- KEYS[2] tombstones   set
-- ARGV[1..] nodes   str   id and SHA-1 of what would be stored, two a node
-- RETURNS (places of these nodes, from 0)
-- INVARIANT reads only.
-- CLOCK not used.
local unlike = {}
for place = 1, #ARGV, 2 do
  local stored = redis.call('HGET', KEYS[1], ARGV[place])
  if not stored or redis.sha1hex(stored) ~= ARGV[place + 1] or redis.call('SISMEMBER', KEYS[2], ARGV[place]) == 1 then
    unlike[#unlike + 1] = (place - 1) / 2
  end
end
return unlike
