"""Loads the Lua scripts and runs them: EVALSHA, then EVAL where a server does not know the script yet.

A file is ``lua/<verb>.lua``; a line ``--- @include name`` stands for ``lua/includes/name.lua``. No text is made per
call, for servers keep every text they were sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.keys import clock_offset_key
from lash_core.redis_store.redis_errors import error_code, refusal

FOLDER = Path(__file__).parent / "lua"
_INCLUDE = "--- @include "


@dataclass(slots=True)
class Call:
    """One script call; ``keys[0]`` routes it, all keys are of one partition. Nobody changes it."""

    # Not frozen: to make a frozen one takes five times as long, and a busy worker makes ten thousand a second.

    script: str
    keys: tuple[str, ...]
    args: tuple[str | bytes | int, ...]


@lru_cache(maxsize=256)
def script_text(name: str, *, test_clock: bool) -> str:
    """The script as the server gets it: includes put in, comments left out.

    Args:
        name: the file without ``.lua``.
        test_clock: read the clock through the offset key (``now_test.lua`` for ``now.lua``).
    """
    lines: list[str] = []
    for line in (FOLDER / f"{name}.lua").read_text(encoding="utf-8").splitlines():
        if line.startswith(_INCLUDE):
            lines += _include(line.removeprefix(_INCLUDE).strip(), test_clock=test_clock)
        elif not line.startswith("--"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _include(name: str, *, test_clock: bool) -> list[str]:
    file = "now_test" if test_clock and name == "now" else name
    text = (FOLDER / "includes" / f"{file}.lua").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("--")]


@lru_cache(maxsize=512)
def _rendered(name: str, *, test_clock: bool) -> tuple[str, str, bool]:
    text = script_text(name, test_clock=test_clock)
    uses_offset = test_clock and "table.remove(KEYS)" in text
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), uses_offset


class Scripts:
    """Runs scripts over one connection.

    Args:
        connection: where to.
        test_clock: render the clock with the offset key ``T:off``, which is then the last key of each call. Tests only.
    """

    def __init__(self, connection: RedisConnection, *, test_clock: bool = False) -> None:
        self._connection = connection
        self._test_clock = test_clock

    async def run(self, calls: Sequence[Call], *, durable: bool = False, repeatable: bool = True) -> list[Any]:
        """Run calls, pipelined per node; replies in the order of the calls.

        Each call is atomic; the calls run in any order. After an error other calls of the list may have been done.

        Args:
            calls: what to run.
            durable: confirm the writes as ``settings.durability`` says before returning.
            repeatable: a second run of a call whose reply was lost does no harm, so it is repeated until
                ``retry_deadline_ms``.

        Raises:
            OutcomeUnknownError: a reply was lost and the call is not repeatable or the deadline passed, or the
                writes were not confirmed.
            StoreUnreachableError: nothing was written. StoreRefusedError: the first refusal; that call wrote nothing.
        """
        replies = await self.run_each(calls, durable=durable, repeatable=repeatable)
        for reply in replies:
            if isinstance(reply, LashError):
                raise reply
        return replies

    async def run_each(
        self,
        calls: Sequence[Call],
        *,
        durable: bool = False,
        repeatable: bool = True,
        within_ms: int | None = None,
    ) -> list[Any]:
        """As ``run``, but the refusal of a call stands in its place as a ``LashError``.

        ``within_ms`` is a shorter time than ``retry_deadline_ms`` to go on trying.
        """
        connection = self._connection
        longest_ms = connection.settings.retry_deadline_ms
        deadline_ms = own_time_ms() + (longest_ms if within_ms is None else min(within_ms, longest_ms))

        async def send(indexes: Sequence[int], *, full: bool) -> list[Any]:
            commands = [self._command(calls[index], full=full) for index in indexes]
            return await connection.dispatch(commands, repeat_lost=repeatable, durable=durable, deadline_ms=deadline_ms)

        replies = await send(range(len(calls)), full=False)
        unknown = [index for index, reply in enumerate(replies) if _is_unknown_script(reply)]
        if unknown:
            for index, reply in zip(unknown, await send(unknown, full=True), strict=True):
                replies[index] = reply
        return [refusal(reply, connection.where) if isinstance(reply, ResponseError) else reply for reply in replies]

    def _command(self, call: Call, *, full: bool) -> Command:
        text, digest, uses_offset = _rendered(call.script, test_clock=self._test_clock)
        keys = (*call.keys, clock_offset_key(call.keys[0])) if uses_offset else call.keys
        head = ("EVAL", text) if full else ("EVALSHA", digest)
        return Command(keys[0], (*head, len(keys), *keys, *call.args))


def _is_unknown_script(reply: Any) -> bool:
    return isinstance(reply, ResponseError) and error_code(reply) == "NOSCRIPT"
