-- put_projector: record how far a reader of the change feed has come, and that it was seen now.
--
-- KEYS[1] projectors   hash   name -> <last seen ms>;<cursor>
-- ARGV[1] name             str
-- ARGV[2] cursor           str
-- ARGV[3] projectors_max   int
-- RETURNS ok | full
-- INVARIANT at most projectors_max names; a refused call writes nothing.
-- CLOCK Redis TIME.
--- @include now
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
  return 'full'
end
redis.call('HSET', KEYS[1], ARGV[1], F(now_ms) .. ';' .. ARGV[2])
return 'ok'
