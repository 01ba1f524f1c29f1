-- redeem_ticket: note that a ticket was used, so that nobody uses it again; forget those that have expired.
--
-- KEYS[1] tickets      zset   ticket id or login:<login id> -> expiry ms of the redeemed and the ended ones
-- ARGV[1] ticket_id       str
-- ARGV[2] expires_at_ms   int
-- ARGV[3] tickets_max     int
-- RETURNS redeemed | spent | expired | full
-- INVARIANT a ticket is redeemed at most once before it expires, and never after.
-- INVARIANT at most tickets_max are remembered; a refused call notes nothing.
-- CLOCK Redis TIME.
--- @include now
--- @include login_places
local expires_at_ms = tonumber(ARGV[2])
if expires_at_ms <= now_ms then
  return 'expired'
end
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 'spent'
end
return note_until(KEYS[1], ARGV[1], expires_at_ms, tonumber(ARGV[3])) and 'redeemed' or 'full'
