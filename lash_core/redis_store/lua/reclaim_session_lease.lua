#!lua flags=allow-oom
-- reclaim_session_lease: take over the lease of a writer that is provably dead, by compare and swap on what was observed.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua; then [15] meta (hash), [16] identities (hash)
-- ARGV[1] session_id      str
-- ARGV[2] digest          str  of the claimant's incarnation
-- ARGV[3] base_digest     str  of the worker incarnation that the claimant is an attempt of, or ''
-- ARGV[4] attempt_token   str  of that attempt, or ''
-- ARGV[5] identity        str  JSON
-- ARGV[6] token           str  of the new lease
-- ARGV[7] ttl_ms          int
-- ARGV[8] grace           str  of the failover guard
-- ARGV[9] observed_fence  str  with the owner's digest
-- ARGV[10] observed_token str
-- ARGV[11] proof          str  1 = the caller saw that the observed owner is dead
-- RETURNS acquired lease expiry | reentrant lease expiry | busy lease expiry identity | unknown | quiet until
-- INVARIANT the fence of a session only rises, also over its deletion, so a stale writer can be refused.
-- INVARIANT a live lease goes to a second owner only when it is the observed one and its owner is proved dead.
-- CLOCK Redis TIME; callers pass durations only.
--- @include now
--- @include guard
--- @include take_lease
--- @include session_keys
--- @include session_lease
--- @include session_due
--- @include take_session
return claim_session(session_keys(1, ARGV[1]), KEYS[15], KEYS[16], {
  digest = ARGV[2], base = ARGV[3], attempt = ARGV[4], identity = ARGV[5], token = ARGV[6], ttl = tonumber(ARGV[7]),
  grace = ARGV[8],
  may_take = function(own) return ARGV[11] == '1' and same_session_lease(own, ARGV[9], ARGV[10]) end })
