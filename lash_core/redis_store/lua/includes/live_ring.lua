-- The ring of a session's newest events, and its record in the hash of tails. Needs now.lua, guard.lua.
-- A record is <tail>;<first kept>;<ms of it>;<bytes before it>;<bytes>;<generation>;<1 = activity behind the last commit>;
-- <revision of the last commit>;<position of it>;<epoch>;<ms of the last event>. Positions in a ring have no holes: what skips
-- some empties it. '\n' has <replication id>;<epoch>: another id than the one known begins an epoch, since the lost history may
-- have used positions that this one has not seen (docs/adr/0216).
-- read_live_tail(tails, sid): a table; .known = there is a record, .emptied = the events go before the next one comes.
-- skip_live(tail, by): the events go, the next position is so many further.
-- push_live(ring, tail, revision, letter, payload): one event; letter a = activity, c = committed, o = other.
-- trim_live(ring, tail, events, age_ms, bytes): drop what is over the bounds, oldest first; the newest is dropped for its age only.
-- write_live_tail(tails, sid, tail)
-- tell_live(channel, tail, count, revision, first_argument): publish the last events with their payloads from ARGV.
local LIVE_EPOCH = 1048576
local function skip_live(tail, by)
  tail.tail = tail.tail + by
  tail.first, tail.emptied = tail.tail + 1, true
end
local function read_live_tail(tails, sid)
  local found = redis.call('HMGET', tails, sid, '\n')
  local known_id, epoch = string.match(found[2] or '', '^(%x+);(%d+)$')
  epoch = tonumber(epoch or '0')
  local id, mark = replication_facts(), nil
  id = id and string.sub(id, 1, 16)
  if id and id ~= known_id then
    if known_id then epoch = epoch + 1 end
    mark = id .. ';' .. F(epoch)
  end
  if not found[1] then
    local start = epoch * LIVE_EPOCH
    return { tail = start, first = start + 1, first_ms = 0, before = 0, bytes = 0, generation = 0, open = 0, revision = 0,
      commit = 0, ms = 0, epoch = epoch, mark = mark }
  end
  local last, first, first_ms, before, bytes, generation, open, revision, commit, of_epoch, ms = string.match(found[1],
    '^(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+);(%d+)$')
  local tail = { tail = tonumber(last), first = tonumber(first), first_ms = tonumber(first_ms), before = tonumber(before),
    bytes = tonumber(bytes), generation = tonumber(generation), open = tonumber(open), revision = tonumber(revision),
    commit = tonumber(commit), ms = tonumber(ms), epoch = epoch, mark = mark, known = true }
  if tonumber(of_epoch) ~= epoch then skip_live(tail, LIVE_EPOCH) end
  return tail
end
local function push_live(ring, tail, revision, letter, payload)
  if tail.emptied then
    redis.call('XTRIM', ring, 'MAXLEN', 0)
    tail.emptied = false
  end
  tail.ms = math.max(tail.ms, now_ms)
  if tail.first > tail.tail then tail.first_ms, tail.before = tail.ms, tail.bytes end
  tail.tail = tail.tail + 1
  redis.call('XADD', ring, F(tail.tail) .. '-0', 'm', F(tail.ms), 'b', F(tail.bytes), 'r', revision, 'p', payload)
  tail.bytes = tail.bytes + #payload
  if letter == 'a' then
    tail.open = 1
  elseif letter == 'c' then
    tail.open, tail.revision, tail.commit = 0, tonumber(revision), tail.tail
  end
end
local function trim_live(ring, tail, events, age_ms, bytes)
  local first_ms, before = tail.first_ms, tail.before
  local function stays(position)
    local ms, behind = tail.first_ms, tail.before
    if position ~= tail.first then
      local entry = redis.call('XRANGE', ring, F(position), F(position))[1]
      if not entry then return false end
      ms, behind = tonumber(entry[2][2]), tonumber(entry[2][4])
    end
    if now_ms - ms > age_ms or (position < tail.tail and tail.bytes - behind > bytes) then return false end
    first_ms, before = ms, behind
    return true
  end
  -- Age and bytes only grow towards the front, so the first that stays is found by halving; as a rule it is one of the first.
  local low, high, step = math.max(tail.first, tail.tail - events + 1), tail.tail + 1, 1
  local probe = low
  while low < high do
    if stays(probe) then high = probe else low = probe + 1 end
    if high <= tail.tail then
      probe = math.floor((low + high) / 2)
    else
      probe, step = math.min(low + step - 1, tail.tail), step * 2
    end
  end
  if low == tail.first then return 0 end
  local dropped = low - tail.first
  redis.call('XTRIM', ring, 'MINID', F(low))
  tail.first, tail.first_ms, tail.before = low, first_ms, before
  return dropped
end
local function write_live_tail(tails, sid, tail)
  local text = string.format('%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%.0f;%.0f', tail.tail, tail.first, tail.first_ms,
    tail.before, tail.bytes, tail.generation, tail.open, tail.revision, tail.commit, tail.epoch, tail.ms)
  if tail.mark then
    redis.call('HSET', tails, sid, text, '\n', tail.mark)
  else
    redis.call('HSET', tails, sid, text)
  end
end
local function tell_live(channel, tail, count, revision, first_argument)
  redis.call('SPUBLISH', channel, 'e;' .. F(tail.tail - count + 1) .. ';' .. revision .. ';' .. F(tail.ms) .. '\n'
    .. table.concat(ARGV, '\n', first_argument, first_argument + count - 1))
end
