-- read_session_nodes: a further page of a session's nodes.
--
-- KEYS[1] nodes        hash   node -> parent and JSON
-- KEYS[2] node_order   zset   node -> append index
-- KEYS[3] tombstones   set
-- ARGV[1] after       str   append index, or '=' and the node that a page of a path begins with
-- ARGV[2] upto        str   append index; not looked at for a path
-- ARGV[3] nodes_max   int
-- ARGV[4] bytes_max   int
-- RETURNS nodes next
-- INVARIANT reads only.
-- CLOCK not used.
--- @include session_pages
local nodes_max, bytes_max = tonumber(ARGV[3]), tonumber(ARGV[4])
local nodes, next
if string.sub(ARGV[1], 1, 1) == '=' then
  nodes, next = nodes_to_root(KEYS[1], KEYS[3], string.sub(ARGV[1], 2), nodes_max, bytes_max)
else
  nodes, next = nodes_in_order(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], nodes_max, bytes_max)
end
return { 'nodes', nodes, next }
