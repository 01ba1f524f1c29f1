#!lua flags=allow-oom
-- prune_processes: delete terminal rows of one partition with everything they own; each row is its own atomic unit.
--
-- KEYS[1] changes   zset     pid -> change sequence
-- KEYS[2] meta      hash     rows per status
-- KEYS[3] owners    hash     pid -> lease
-- KEYS[4] leases    zset     pid -> expiry
-- KEYS[5] marks     hash     pid -> marks
-- KEYS[6] outbox    stream   the sessions' side of the grants
-- KEYS[7] sessions  zset     sid -> ms of its first sight
-- KEYS[8] session_leases     hash   sid -> lease
-- KEYS[9] session_expiries   zset   sid -> ms
-- KEYS[10] sessions_ready    zset   sid -> ms
-- KEYS[11] session_deaths    hash   sid -> deaths
-- KEYS[12..] rows: control, registration, events, journal, handovers, wake_acks, grants, promises, audit, blobs, then all
--           keys of the two sessions that the process owns: as many a row for each of them
-- ARGV[1] cutoff_ms      int   rows last updated at or after it stay
-- ARGV[2] sequence_max   int   rows changed after it stay
-- ARGV[3..] rows         str   pid, registration hash, outbox step, 1 = the step is needed without grants too: 4 a row
-- RETURNS two items a row: its events (int), then the id of its outbox entry or '' | kept
-- INVARIANT only a terminal row goes, and what is removed is removed first, so that a full server can shrink.
-- CLOCK not used.
local cutoff, sequence_max = tonumber(ARGV[1]), tonumber(ARGV[2])
local keys_a_row = (#KEYS - 11) / ((#ARGV - 2) / 4)
local reply = {}
for row = 1, (#ARGV - 2) / 4 do
  local at, first = 3 + (row - 1) * 4, 12 + (row - 1) * keys_a_row
  local process_id, hash = ARGV[at], ARGV[at + 1]
  local facts = redis.call('HMGET', KEYS[first], 'st', 'ua', 'dg', 'q')
  local sequence = redis.call('ZSCORE', KEYS[1], process_id)
  local gone = not facts[1] or facts[3] ~= hash
  if gone or facts[1] == 'r' or tonumber(facts[2]) >= cutoff or (sequence and tonumber(sequence) > sequence_max) then
    reply[2 * row - 1], reply[2 * row] = 'kept', ''
  else
    local grants = redis.call('HGETALL', KEYS[first + 6])
    redis.call('UNLINK', unpack(KEYS, first, first + keys_a_row - 1))
    redis.call('ZREM', KEYS[1], process_id)
    redis.call('HDEL', KEYS[3], process_id)
    redis.call('ZREM', KEYS[4], process_id)
    redis.call('HDEL', KEYS[5], process_id)
    local environment, turns = 'process-env:' .. process_id, 'process-session-turn:' .. process_id
    for _, key in ipairs({ KEYS[7], KEYS[9], KEYS[10] }) do
      redis.call('ZREM', key, environment, turns)
    end
    for _, key in ipairs({ KEYS[8], KEYS[11] }) do
      redis.call('HDEL', key, environment, turns)
    end
    redis.call('HINCRBY', KEYS[2], 'n:' .. facts[1], -1)
    local entry = { 'o', ARGV[at + 2] }
    for index = 1, #grants, 2 do
      if grants[index] ~= '\n' then
        local number = string.format('%d', (#entry - 2) / 4)
        entry[#entry + 1], entry[#entry + 2] = number, grants[index]
        entry[#entry + 1], entry[#entry + 2] = 'v' .. number, grants[index + 1]
      end
    end
    local entry_id = ''
    if #entry > 2 or ARGV[at + 3] == '1' then
      entry_id = redis.call('XADD', KEYS[6], '*', unpack(entry))
    end
    reply[2 * row - 1], reply[2 * row] = tonumber(facts[4] or '0'), entry_id
  end
end
return reply
