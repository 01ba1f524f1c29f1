"""Loads the Lua scripts and runs them: EVALSHA, EVAL once where the server does not know a script."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from redis import exceptions as redis_errors

from lash_core.clock import own_time_ms
from lash_core.errors import OutcomeUnknownError, StoreUnreachableError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.redis_errors import is_transient, refusal

FOLDER = Path(__file__).parent / "lua"
_PAUSES_MS = (10, 25, 50, 100, 200, 400)
TEST_NOW = """local lash_time = redis.call('TIME')
local now_us = lash_time[1] * 1000000 + lash_time[2] + tonumber(redis.call('GET', KEYS[#KEYS]) or '0')
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One script call; ``keys[0]`` routes it, all keys are of one partition."""

    script: str
    keys: tuple[str, ...]
    args: tuple[str | int, ...]


@lru_cache(maxsize=256)
def script_text(name: str, *, test_clock: bool) -> str:
    """The script with its includes put in."""
    lines: list[str] = []
    for line in (FOLDER / f"{name}.lua").read_text().splitlines():
        if line.startswith("--- @include "):
            lines.append(_include(line.removeprefix("--- @include ").strip(), test_clock=test_clock))
        elif not line.startswith("--"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _include(name: str, *, test_clock: bool) -> str:
    text = (FOLDER / "includes" / f"{name}.lua").read_text()
    if name == "now" and test_clock:
        text = (FOLDER / "includes" / "now_test.lua").read_text()
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))


class Scripts:
    """Runs scripts over one connection.

    Args:
        connection: where to.
        test_clock: render the clock with the offset key ``T:off``, appended as last key. Tests only.
    """

    def __init__(self, connection: RedisConnection, *, test_clock: bool = False) -> None:
        self._connection = connection
        self._test_clock = test_clock

    async def run(self, calls: Sequence[Call], *, durable: bool = False, repeatable: bool = True) -> list[Any]:
        """Run calls; replies in order.

        Raises:
            OutcomeUnknownError: a reply was lost and the call is not repeatable, or the deadline passed.
            StoreUnreachableError, StoreRefusedError: nothing was written by the refused call.
        """
        deadline = own_time_ms() + self._connection.settings.retry_deadline_ms
        replies: list[Any] = [None] * len(calls)
        open_calls = list(range(len(calls)))
        with_text: set[int] = set()
        lost = False
        turn = 0
        while True:
            failure: Exception | None = None
            try:
                got = await self._connection.pipeline(
                    [self._command(calls[index], full=index in with_text) for index in open_calls], durable=durable
                )
                still: list[int] = []
                for index, reply in zip(open_calls, got, strict=True):
                    if isinstance(reply, redis_errors.NoScriptError):
                        with_text.add(index)
                        still.append(index)
                    elif isinstance(reply, redis_errors.RedisError) and is_transient(reply):
                        failure = reply
                        still.append(index)
                    elif isinstance(reply, redis_errors.RedisError):
                        raise refusal(reply, self._connection.where)
                    else:
                        replies[index] = reply
                open_calls = still
                if not open_calls:
                    return replies
                if failure is None:
                    continue
            except StoreUnreachableError as error:
                failure = error
            except OutcomeUnknownError as error:
                if not repeatable:
                    raise
                lost, failure = True, error
            pause = _PAUSES_MS[min(turn, len(_PAUSES_MS) - 1)]
            turn += 1
            if own_time_ms() + pause > deadline:
                if lost:
                    raise OutcomeUnknownError(str(failure), field="redis_url", value=self._connection.where)
                raise StoreUnreachableError(str(failure), field="redis_url", value=self._connection.where)
            await asyncio.sleep(pause / 1_000)

    def _command(self, call: Call, *, full: bool) -> Command:
        text, digest = _rendered(call.script, test_clock=self._test_clock)
        keys = call.keys
        if self._test_clock:
            keys = (*keys, keys[0][: keys[0].index("}") + 1] + ":off")
        head: tuple[str | int, ...] = ("EVAL", text) if full else ("EVALSHA", digest)
        return Command(keys[0], (*head, len(keys), *keys, *call.args))


@lru_cache(maxsize=256)
def _rendered(name: str, *, test_clock: bool) -> tuple[str, str]:
    text = script_text(name, test_clock=test_clock)
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
