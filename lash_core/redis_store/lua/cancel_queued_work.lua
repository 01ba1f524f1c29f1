#!lua flags=allow-oom
-- cancel_queued_work: take a batch out of a session's queue.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id         str
-- ARGV[2] batch_id           str
-- ARGV[3] receipts_max       int
-- ARGV[4] receipt_bytes_max  int
-- RETURNS cancelled header body | absent | claimed | taken_in
-- INVARIANT a batch that a live claim has or that an open turn has taken in stays.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
--- @include session_queue
--- @include session_turn
local keys = session_keys(1, ARGV[1])
local row = row_of(keys, ARGV[2])
if not row then return { 'absent' } end
if row.generation ~= '' and row.generation == live_generation(keys) then return { 'claimed' } end
if is_taken_in(keys, ARGV[2]) then return { 'taken_in' } end
local body = redis.call('HGET', keys.rows, 'b' .. ARGV[2])
drop_row(keys, ARGV[2], { receipts = tonumber(ARGV[3]), bytes = tonumber(ARGV[4]) })
set_due(keys)
redis.call('SPUBLISH', keys.channel, 'cancelled ' .. ARGV[2])
return { 'cancelled', row.header, body }
