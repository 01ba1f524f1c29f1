-- Pages of a session's nodes. A stored node is '<bytes of the parent id, or nothing for a root>;<parent id><JSON>'.
-- nodes_in_order(nodes, order, tombstones, after, upto, nodes_max, bytes_max): by append index, without tombstoned ones.
-- nodes_to_root(nodes, tombstones, from, nodes_max, bytes_max): from a node upwards; a tombstoned or unknown one ends it.
-- Both: {id, stored, id, stored, …} and where the next page begins, '' = nowhere.
local function nodes_in_order(nodes, order, tombstones, after, upto, nodes_max, bytes_max)
  local found, bytes, last = {}, 0, after
  local members = redis.call('ZRANGE', order, '(' .. after, upto, 'BYSCORE', 'LIMIT', 0, nodes_max, 'WITHSCORES')
  for place = 1, #members, 2 do
    local id = members[place]
    local stored = redis.call('SISMEMBER', tombstones, id) == 0 and redis.call('HGET', nodes, id)
    if stored then
      if bytes > 0 and bytes + #stored > bytes_max then return found, last end
      found[#found + 1], found[#found + 2] = id, stored
      bytes = bytes + #stored
    end
    last = members[place + 1]
  end
  return found, #members == 2 * nodes_max and last or ''
end
local function parent_of(stored)
  local length, start = string.match(stored, '^(%d*);()')
  if length == '' then return nil end
  return string.sub(stored, start, start + tonumber(length) - 1)
end
local function nodes_to_root(nodes, tombstones, from, nodes_max, bytes_max)
  local found, bytes, id, seen = {}, 0, from, {}
  while id and not seen[id] do
    local stored = redis.call('SISMEMBER', tombstones, id) == 0 and redis.call('HGET', nodes, id)
    if not stored then return found, '' end
    if #found == 2 * nodes_max or (bytes > 0 and bytes + #stored > bytes_max) then return found, '=' .. id end
    found[#found + 1], found[#found + 2] = id, stored
    bytes, seen[id], id = bytes + #stored, true, parent_of(stored)
  end
  return found, ''
end
