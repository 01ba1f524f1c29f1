#!lua flags=allow-oom
-- forget_scopes: delete journals and promises of scopes without a row that nobody touched for long.
--
-- KEYS[1] scopes  zset  scope hash -> last touched ms
-- KEYS[2..] two a scope: journal (hash), promises (hash)
-- ARGV[1] older_than_ms  int
-- ARGV[2..] scope hash of each
-- RETURNS (scopes forgotten)
-- INVARIANT a scope that was touched since is kept.
-- CLOCK Redis TIME; callers pass durations only.
--- @include now
local forgotten = 0
for i = 2, #ARGV do
  local touched = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if touched and tonumber(touched) <= now_ms - tonumber(ARGV[1]) then
    redis.call('DEL', KEYS[2 * i - 2], KEYS[2 * i - 1])
    redis.call('ZREM', KEYS[1], ARGV[i])
    forgotten = forgotten + 1
  end
end
return forgotten
