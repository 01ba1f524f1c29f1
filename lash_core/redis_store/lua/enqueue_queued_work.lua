-- enqueue_queued_work: put a batch at the end of a session's queue, or answer the first batch of its source key.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id    str
-- ARGV[2] batch_id      str
-- ARGV[3] facts         str  delivery;slot;class;merge
-- ARGV[4] available_ms  str  0 = now
-- ARGV[5] source_key    str  or ''
-- ARGV[6] queued_max    int
-- ARGV[7] body          str  JSON
-- RETURNS queued header | again batch_id header body | unknown | full count
-- INVARIANT a source key stands for its first batch, settled or not; a session that does not exist gets no queue.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_due
--- @include session_queue
local keys = session_keys(1, ARGV[1])
if redis.call('HEXISTS', keys.head, 'meta') == 0 then return { 'unknown' } end
local known, header, body = batch_of_source(keys, ARGV[5])
if known then return { 'again', known, header, body } end
if queue_is_full(keys, 1, tonumber(ARGV[6])) then return { 'full', redis.call('ZCARD', keys.order) } end
put_row(keys, { id = ARGV[2], facts = ARGV[3], available = ARGV[4], source = ARGV[5], body = ARGV[7] })
set_due(keys)
redis.call('SPUBLISH', keys.channel, 'queued ' .. ARGV[2])
return { 'queued', redis.call('HGET', keys.rows, 'h' .. ARGV[2]) }
