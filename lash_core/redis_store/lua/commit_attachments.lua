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
--- @include attachment_refs
local named = {}
for place = 3, #ARGV do
  named[ARGV[place]] = true
end
local stamped, fields = stamp_refs(KEYS[1], ARGV[1], named)
if fields > 0 and ARGV[2] ~= '' then
  redis.call('HSET', KEYS[1], 'last', F(now_ms) .. ';' .. ARGV[2])
end
local reply = { 'committed' }
for _, digest in ipairs(stamped) do
  reply[#reply + 1] = digest
end
return reply
