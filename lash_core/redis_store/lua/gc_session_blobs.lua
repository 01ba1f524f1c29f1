#!lua flags=allow-oom
-- gc_session_blobs: remove a session's blobs that neither its checkpoint nor its frames name.
--
-- KEYS[1] head    hash
-- KEYS[2] blobs   hash   digest -> blob, or @
-- ARGV[1] family   str   what stands before a digest in a ref
-- RETURNS swept roots retained deleted
-- INVARIANT what the stored texts name stays, also where only user text looks like a ref.
-- CLOCK not used.
--- @include session_garbage
local named = redis.call('HMGET', KEYS[1], 'head', 'cp', 'fr')
local retained, deleted = sweep_blobs(KEYS[2], ARGV[1], (named[2] or '') .. (named[3] or ''))
-- The checkpoint is a blob too: the one that each head keeps.
local heads = named[1] and 1 or 0
return { 'swept', heads, heads + retained, deleted }
