#!lua flags=allow-oom
-- delete_session_subscriptions: remove the subscriptions that a session owns, without tombstones.
--
-- KEYS[1] subscriptions  hash   subscription -> row
-- KEYS[2] sources        zset   <source>:<subscription> of the live ones
-- KEYS[3] owners         zset   <owner>:<subscription> of all
-- KEYS[4] due            zset   subscription -> ms of its next tick
-- ARGV[1] owner   str   32 hex
-- ARGV[2] limit   int   subscriptions at most
-- RETURNS (int) how many were removed
-- INVARIANT no other owner's subscription is touched.
-- CLOCK not used.
local owner = ARGV[1]
local members = redis.call('ZRANGEBYLEX', KEYS[3], '[' .. owner .. ':', '(' .. owner .. ';', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(members) do
  local name = string.sub(member, #owner + 2)
  local source = string.match(redis.call('HGET', KEYS[1], name) or '', '^%d+;%a;%d+;%d+;(%x+);')
  if source then redis.call('ZREM', KEYS[2], source .. ':' .. name) end
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[4], name)
  redis.call('ZREM', KEYS[3], member)
end
return #members
