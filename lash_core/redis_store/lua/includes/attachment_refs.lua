-- References of a session's attachments: digest -> '<version>;<ms of the intent>;<ms of the commit or 0>;<owner token>;<JSON>'.
-- Needs now.lua.
-- stamp_refs(key, token, named): stamps what named (digest -> true) or the owner token names ('' = nobody's), and answers the
-- digests that got a stamp. No reference is made, and a stamp never changes.
local function stamp_refs(key, token, named)
  local stamped, rows = {}, redis.call('HGETALL', key)
  for place = 1, #rows, 2 do
    local intent_ms, owner, facts = string.match(rows[place + 1], '^1;(%d+);0;([^;]*);(.*)$')
    if intent_ms and (named[rows[place]] or (token ~= '' and owner == token)) then
      redis.call('HSET', key, rows[place], '1;' .. intent_ms .. ';' .. F(now_ms) .. ';' .. owner .. ';' .. facts)
      stamped[#stamped + 1] = rows[place]
    end
  end
  return stamped, #rows
end
