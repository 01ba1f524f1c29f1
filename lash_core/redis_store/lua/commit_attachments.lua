-- commit_attachments: stamp references of a session as committed: the named ones, and every intent of one owner.
--
-- KEYS[1] attachments   hash   digest -> <version>;<ms of the intent>;<ms of the commit or 0>;<owner token>;<JSON>
-- ARGV[1] token     str   of the owner whose intents are stamped, '' = nobody's
-- ARGV[2] turn_id   str   the turn that commits, '' = no turn
-- ARGV[3..] digests   str   references to stamp whoever owns them
-- RETURNS committed, then the digests that got a stamp
-- INVARIANT no reference is made, and a stamp never changes.
-- CLOCK Redis TIME.
--- @include now
local reply = { 'committed' }
local rows = redis.call('HGETALL', KEYS[1])
if #rows == 0 then
  return reply
end
local named = {}
for place = 3, #ARGV do
  named[ARGV[place]] = true
end
for place = 1, #rows, 2 do
  local intent_ms, token, facts = string.match(rows[place + 1], '^1;(%d+);0;([^;]*);(.*)$')
  if intent_ms and (named[rows[place]] or (ARGV[1] ~= '' and token == ARGV[1])) then
    redis.call('HSET', KEYS[1], rows[place], '1;' .. intent_ms .. ';' .. F(now_ms) .. ';' .. token .. ';' .. facts)
    reply[#reply + 1] = rows[place]
  end
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'last', F(now_ms) .. ';' .. ARGV[2])
end
return reply
