#!lua flags=allow-oom
-- abandon_input_claim: give the inputs of a claim back to a session's lane.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id   str
-- ARGV[2] claim_id     str
-- ARGV[3] token        str
-- ARGV[4..] input_ids  str
-- RETURNS (ids of the inputs that were given back)
-- INVARIANT an input that another claim has stays as it is; accepted ones wait for their turn again.
-- CLOCK not used.
--- @include session_keys
--- @include session_inputs
local keys, given = session_keys(1, ARGV[1]), {}
for place = 4, #ARGV do
  if not input_claim_fault(keys, ARGV[2], ARGV[3], ARGV[place]) then
    local row = input_of(keys, ARGV[place])
    if row.state == 'a' then row.state = 'p' end
    unclaim_input(row)
    write_input(keys, row)
    given[#given + 1] = row.id
  end
end
return given
