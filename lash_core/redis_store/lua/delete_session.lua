#!lua flags=allow-oom
-- delete_session: forget everything that is a session's own, and refuse the keys of its promises.
--
-- KEYS[1] head       hash
-- KEYS[2] journal    hash   of the turn that the caller saw open
-- KEYS[3] scopes     zset   scope -> ms
-- KEYS[4] sessions   zset   sid -> ms of its first sight
-- KEYS[5] leases     hash   sid -> lease
-- KEYS[6] expiries   zset   sid -> ms
-- KEYS[7] ready      zset   sid -> ms
-- KEYS[8] deaths     hash   sid -> deaths
-- KEYS[9] promises   hash   revoked -> ms, and its channel
-- KEYS[10] channel   of the session
-- KEYS[11] ring      stream   of its newest events
-- KEYS[12] tails     hash   sid -> record of its ring (includes/live_ring.lua)
-- KEYS[13] idle      zset   sid -> ms when its ring is looked at
-- KEYS[14] watchers  channel
-- KEYS[15..] all others that go
-- ARGV[1] session_id   str
-- ARGV[2] turn_id      str   that the caller saw open, '' = none
-- ARGV[3] scope        str   hash of that turn's scope
-- ARGV[4] kept_ms      int   how long the record of its ring stays
-- RETURNS deleted | absent | open turn_id
-- INVARIANT another turn than the one whose journal goes is not open: it would be redone by a session of the same id.
-- INVARIANT a repeat changes nothing; the time of the first revocation stays; fences are the partition's and go on rising.
-- CLOCK Redis TIME.
--- @include now
--- @include guard
--- @include live_ring
--- @include forget_live
local open = redis.call('HGET', KEYS[1], 'ot')
open = open and string.match(open, '^[^\n]*') or ''
if open ~= '' and open ~= ARGV[2] then
  return { 'open', open }
end
local was = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2], unpack(KEYS, 15))
redis.call('ZREM', KEYS[3], ARGV[3])
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])
redis.call('ZREM', KEYS[7], ARGV[1])
redis.call('HDEL', KEYS[8], ARGV[1])
if redis.call('HEXISTS', KEYS[9], 'revoked') == 0 then
  redis.call('DEL', KEYS[9])
  redis.call('HSET', KEYS[9], 'revoked', F(now_ms))
end
redis.call('SPUBLISH', KEYS[9], 'revoked')
redis.call('SPUBLISH', KEYS[10], 'deleted')
forget_live(KEYS[11], KEYS[12], KEYS[13], KEYS[14], ARGV[1], ARGV[4])
return { was == 1 and 'deleted' or 'absent' }
