#!lua flags=allow-oom
-- abandon_queue_claim: give the rows of a claim back to a session's queue.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id   str
-- ARGV[2] claim_id     str
-- ARGV[3] token        str
-- ARGV[4..] batch_ids  str
-- RETURNS (ids of the rows that were given back)
-- INVARIANT a row that another claim has stays as it is.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_queue
local keys, given = session_keys(1, ARGV[1]), {}
for place = 4, #ARGV do
  if not claim_fault(keys, ARGV[2], ARGV[3], ARGV[place]) then
    local row = row_of(keys, ARGV[place])
    row.head_seq, row.number, row.generation, row.token = '', '', '', ''
    write_header(keys, row)
    given[#given + 1] = row.id
  end
end
return given
