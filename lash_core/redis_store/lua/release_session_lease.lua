#!lua flags=allow-oom
-- release_session_lease: give a session's lease back; the fleet may claim the session when its rows say so, or after a delay.
--
-- KEYS[1..] the session's, in the order of includes/session_keys.lua
-- ARGV[1] session_id  str
-- ARGV[2] fence       str  with the owner's digest
-- ARGV[3] token       str
-- ARGV[4] delay_ms    int  nobody of the fleet may claim it before that
-- RETURNS released | stale
-- INVARIANT only the lease that is named is released; a repeat does nothing.
-- CLOCK Redis TIME.
--- @include now
--- @include session_keys
--- @include session_lease
--- @include session_due
local keys = session_keys(1, ARGV[1])
if not drop_session_lease(keys, ARGV[2], ARGV[3]) then return 'stale' end
if tonumber(ARGV[4]) > 0 then hold_back(keys, now_ms + tonumber(ARGV[4])) end
set_due(keys)
return 'released'
