#!lua flags=allow-oom
-- claim_next_inputs: claim inputs for the next turn of a session, in the order of the lane.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id   str
-- ARGV[2] fence        str  of the session's lease, with the owner's digest
-- ARGV[3] lease_token  str
-- ARGV[4] request_id   str  names this call
-- ARGV[5] inputs_max   int
-- RETURNS claimed, then seq of the first row, claim number, token, and id, header and body of each input | quiet | lost why
-- INVARIANT a row that this generation holds is not claimed again; a repeat of a request answers its own rows.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_queue
--- @include session_claims
--- @include claim_receipt
--- @include session_inputs
--- @include input_claims
local keys = session_keys(1, ARGV[1])
local fault = session_lease_fault(keys, ARGV[2], ARGV[3])
if fault then return { 'lost', fault } end
local generation = string.match(ARGV[2], '^%d+')
local repeated, _, number = repeated_claim(keys, ARGV[4])
local claim
if repeated then
  claim = repeated_inputs(keys, number)
else
  claim = take_inputs(keys, next_inputs(keys, generation, tonumber(ARGV[5])), ARGV[3], generation)
  note_claim(keys, ARGV[4], false, claim)
end
return claim and { 'claimed', unpack(claim) } or { 'quiet' }
