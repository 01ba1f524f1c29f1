"""A test loader: every script runs with ``redis.call`` wrapped, so that a key which is not in KEYS is an error.

A cluster on one machine does not find such a key: a server accepts it as long as its slot is one of its own.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from lash_core.redis_store import scripts

PROLOGUE = """
local lash_server, lash_declared = redis, {}
for _, key in ipairs(KEYS) do lash_declared[key] = true end
local lash_no_key = { TIME = true, INFO = true, SPUBLISH = true }
local lash_all_keys = { DEL = true, EXISTS = true, UNLINK = true }
local lash_one_key = {}
for _, name in ipairs({ 'GET', 'SET', 'GETRANGE', 'SETRANGE', 'HGET', 'HMGET', 'HGETALL', 'HSET', 'HSETNX', 'HDEL',
  'HEXISTS', 'HLEN', 'HKEYS', 'HVALS', 'HINCRBY', 'LINDEX', 'LLEN', 'LPOS', 'LRANGE', 'LREM', 'LTRIM', 'LSET', 'LPUSH',
  'RPUSH', 'RPOP', 'LPOP', 'SADD', 'SREM', 'SISMEMBER', 'SMEMBERS', 'SCARD', 'STRLEN', 'XADD', 'XDEL', 'XLEN',
  'SRANDMEMBER', 'XRANGE', 'XTRIM', 'ZADD', 'ZCARD', 'ZCOUNT', 'ZMSCORE', 'ZRANGE', 'ZRANGEBYSCORE', 'ZREM', 'ZSCORE',
  'INCRBY', 'HSTRLEN', 'ZREMRANGEBYRANK', 'ZLEXCOUNT', 'ZRANGEBYLEX', 'ZREVRANGEBYSCORE', 'HSCAN' }) do
  lash_one_key[name] = true
end
local function lash_check(command, ...)
  local name, args = string.upper(command), { ... }
  if lash_no_key[name] then return end
  if not lash_all_keys[name] and not lash_one_key[name] then error('unclassified command ' .. name) end
  for place = 1, lash_all_keys[name] and #args or 1 do
    if not lash_declared[args[place]] then error('undeclared key ' .. tostring(args[place]) .. ' in ' .. name) end
  end
end
local redis = setmetatable({
  call = function(...) lash_check(...) return lash_server.call(...) end,
  pcall = function(...) lash_check(...) return lash_server.pcall(...) end,
}, { __index = lash_server })
"""


@contextmanager
def checked_scripts(monkeypatch: pytest.MonkeyPatch, names: set[str]) -> Generator[None]:
    """Scripts run wrapped inside the block; ``names`` collects those that ran."""
    plain = scripts.script_text

    def wrapped(name: str, *, test_clock: bool) -> str:
        text = plain(name, test_clock=test_clock)
        names.add(name)
        if text.startswith("#!"):
            shebang, _, rest = text.partition("\n")
            return f"{shebang}\n{PROLOGUE}{rest}"
        return PROLOGUE + text

    with monkeypatch.context() as patch:
        patch.setattr(scripts, "script_text", wrapped)
        scripts._rendered.cache_clear()
        try:
            yield
        finally:
            scripts._rendered.cache_clear()
