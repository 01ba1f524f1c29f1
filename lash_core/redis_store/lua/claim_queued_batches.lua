#!lua flags=allow-oom
-- claim_queued_batches: claim exactly the named rows of a session's queue, all of them or none.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id   str
-- ARGV[2] fence        str  of the session's lease, with the owner's digest
-- ARGV[3] lease_token  str
-- ARGV[4] request_id   str  names this call
-- ARGV[5] boundary     str  active_turn_checkpoint or idle
-- ARGV[6..] batch_ids  str
-- RETURNS claimed, then seq of the first row, claim number, token, and id, header and body of each row | quiet | lost why
-- INVARIANT a row that this generation holds is not claimed again; a repeat of a request answers its own rows.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_queue
--- @include session_claims
--- @include claim_receipt
local keys = session_keys(1, ARGV[1])
local fault = session_lease_fault(keys, ARGV[2], ARGV[3])
if fault then return { 'lost', fault } end
local generation = string.match(ARGV[2], '^%d+')
local repeated, number = repeated_claim(keys, ARGV[4])
local claim
if repeated then
  claim = repeated_rows(keys, number)
else
  claim = take_rows(keys, exact_rows(keys, generation, ARGV[5], { unpack(ARGV, 6) }), ARGV[3], generation)
  note_claim(keys, ARGV[4], claim, false)
end
return claim and { 'claimed', unpack(claim) } or { 'quiet' }
