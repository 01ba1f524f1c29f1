-- Rows of a session's queue (``docs/contracts/sessions.md`` 2.4; decisions 2, 20-22).
-- Needs now.lua, session_keys.lua; set_due comes after them.
-- keys.rows has two fields a batch: 'h<id>' = '<delivery e|a>;<slot j|x>;<class t|c>;<merge>;<available ms>;<enqueued ms>;<seq>;
-- <seq of its claim's first>;<claim number>;<generation>;<claim token>;<source key>', the four of the claim blank without one;
-- 'b<id>' = the body's JSON. keys.sources has '<id>' while the batch is queued, then '<id>\n<header>\n<body>'.
-- row_of(keys, id): a table, or nil.
-- claim_fault(keys, claim_id, token, id): nil while that claim has the row, else superseded.
-- queue_is_full(keys, more, max).
-- put_row(keys, row): seq and enqueued ms of the new row, or nil and the id, header and body of the batch that its source key
-- stands for. row: id, facts ('<delivery>;<slot>;<class>;<merge>'), available (ms), source ('' = none), body.
-- drop_row(keys, id, limits): takes a row out and leaves a receipt of its source key. limits: receipts and their bytes.
local HEADER = '^(%l);(%l);(%l);(%w*);(%d+);(%d+);(%d+);(%d*);(%d*);(%d*);(%x*);(.*)$'
local function row_of(keys, id)
  local header = redis.call('HGET', keys.rows, 'h' .. id)
  if not header then return nil end
  local row = { id = id, header = header }
  row.delivery, row.slot, row.class, row.merge, row.available, row.enqueued, row.seq, row.head_seq, row.number,
    row.generation, row.token, row.source = string.match(header, HEADER)
  return row
end
local function write_header(keys, row)
  row.header = table.concat({ row.delivery, row.slot, row.class, row.merge, row.available, row.enqueued, row.seq,
    row.head_seq, row.number, row.generation, row.token, row.source }, ';')
  redis.call('HSET', keys.rows, 'h' .. row.id, row.header)
end
local function claim_fault(keys, claim_id, token, id)
  local row = row_of(keys, id)
  if not row or row.token == '' or row.token ~= token then return 'superseded' end
  if 'qwc:' .. row.head_seq .. ':' .. row.number ~= claim_id then return 'superseded' end
  return nil
end
local function queue_is_full(keys, more, max)
  return redis.call('ZCARD', keys.order) + more > max
end
local function batch_of_source(keys, source)
  local known = source ~= '' and redis.call('HGET', keys.sources, source)
  if not known then return nil end
  local id, header, body = string.match(known, '^([^\n]*)\n([^\n]*)\n(.*)$')
  if id then return id, header, body end
  return known, redis.call('HGET', keys.rows, 'h' .. known), redis.call('HGET', keys.rows, 'b' .. known)
end
local function put_row(keys, row)
  local known, header, body = batch_of_source(keys, row.source)
  if known then return nil, known, header, body end
  local seq = F(redis.call('HINCRBY', keys.head, 'seq', 1))
  header = table.concat({ row.facts, row.available, F(now_ms), seq, '', '', '', '', row.source }, ';')
  redis.call('HSET', keys.rows, 'h' .. row.id, header, 'b' .. row.id, row.body)
  redis.call('ZADD', keys.order, seq, row.id)
  redis.call('ZADD', keys.due, row.available == '0' and F(now_ms) or row.available, 'q' .. row.id)
  if row.source ~= '' then redis.call('HSET', keys.sources, row.source, row.id) end
  return seq, F(now_ms)
end
local function forget_oldest_receipts(keys, added, limits)
  local bytes = redis.call('HINCRBY', keys.head, 'rb', added)
  local count = redis.call('ZCARD', keys.settled)
  while count > limits.receipts or (bytes > limits.bytes and count > 0) do
    local oldest = redis.call('ZRANGE', keys.settled, 0, 0)[1]
    bytes = redis.call('HINCRBY', keys.head, 'rb', -redis.call('HSTRLEN', keys.sources, oldest))
    redis.call('HDEL', keys.sources, oldest)
    redis.call('ZREM', keys.settled, oldest)
    count = count - 1
  end
end
local function drop_row(keys, id, limits)
  local row = row_of(keys, id)
  if not row then return end
  if row.source ~= '' then
    local header = string.match(row.header, '^([^;]*;[^;]*;[^;]*;[^;]*;%d+;%d+;%d+;)') .. ';;;;' .. row.source
    local receipt = id .. '\n' .. header .. '\n' .. redis.call('HGET', keys.rows, 'b' .. id)
    redis.call('HSET', keys.sources, row.source, receipt)
    redis.call('ZADD', keys.settled, F(now_us), row.source)
    forget_oldest_receipts(keys, #receipt, limits)
  end
  redis.call('HDEL', keys.rows, 'h' .. id, 'b' .. id)
  redis.call('ZREM', keys.order, id)
  redis.call('ZREM', keys.due, 'q' .. id)
end
