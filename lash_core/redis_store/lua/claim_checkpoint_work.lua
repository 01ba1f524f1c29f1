#!lua flags=allow-oom
-- claim_checkpoint_work: claim of both lanes of a session what may reach the running turn at a checkpoint.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id   str
-- ARGV[2] fence        str  of the session's lease, with the owner's digest
-- ARGV[3] lease_token  str
-- ARGV[4] request_id   str  names this call
-- ARGV[5] turn_id      str
-- ARGV[6] checkpoint   str  w = after_work, c = before_completion
-- ARGV[7] inputs_max   int
-- ARGV[8] batches_max  int
-- RETURNS claimed and two lists, of rows and of inputs: seq of the first one, claim number, token, and id, header and body of
--         each, empty where nothing was taken | quiet | lost why
-- INVARIANT nothing is written while both lanes are quiet; a repeat of a request answers its own rows.
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
local repeated, number, input_number = repeated_claim(keys, ARGV[4])
local rows, inputs
if repeated then
  rows = number ~= '' and repeated_rows(keys, number)
  inputs = input_number ~= '' and repeated_inputs(keys, input_number)
else
  local group = leading_group(keys, generation, 'active_turn_checkpoint', tonumber(ARGV[8]))
  local lane = active_inputs(keys, generation, ARGV[5], ARGV[6], tonumber(ARGV[7]))
  rows = take_rows(keys, group, ARGV[3], generation)
  inputs = take_inputs(keys, lane, ARGV[3], generation)
  note_claim(keys, ARGV[4], rows, inputs)
end
if not rows and not inputs then return { 'quiet' } end
return { 'claimed', rows or {}, inputs or {} }
