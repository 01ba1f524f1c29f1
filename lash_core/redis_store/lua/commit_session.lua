-- commit_session: write parts of a session's head if nobody else did since it was read.
--
-- KEYS[1] head   hash   r revision, and the parts
-- ARGV[1] expected   str   revision that the caller read
-- ARGV[2..] parts    str   names and values of the changed parts
-- RETURNS committed revision | conflict revision
-- INVARIANT the revision rises by one with each commit; a conflict writes nothing.
-- CLOCK not used.
local revision = redis.call('HGET', KEYS[1], 'r')
if revision ~= ARGV[1] then
  return { 'conflict', revision or '' }
end
local raised = string.format('%.0f', tonumber(revision) + 1)
redis.call('HSET', KEYS[1], 'r', raised, unpack(ARGV, 2))
return { 'committed', raised }
