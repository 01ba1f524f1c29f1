"""Stores of one worker's life that end at a chosen write: before it is sent, or after its reply is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from lash_core.redis_store.commands import Command
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.stores import RedisStores

CrashSide = Literal["before", "after"]

READS = frozenset({"claim_ready_processes", "requeue_expired_leases", "read_outbox", "look_at_run", "peek_partition"})
"""Scripts whose call is no point of its own: a death there leaves what a death at the next write leaves. Two of them
write too: a claim that dies with its worker is the same death as one before the run's first write, one lease later."""


class Life:
    """Counts the writes of one worker and ends it at one of them.

    Args:
        crash_at: number of the write, from 1; None lives for ever.
        side: ``before``: the call never reaches the server. ``after``: it is carried out and nobody hears of it.
    """

    def __init__(self, crash_at: int | None = None, side: CrashSide = "before") -> None:
        self.writes: list[str] = []
        """Names of the scripts, in order."""
        self.ended = asyncio.Event()
        """Set when the worker has died."""
        self.over = False
        """True once the test has taken the worker away: what it still asks of the store is refused too."""
        self._crash_at = crash_at
        self._side = side

    def hold(self, stores: RedisStores) -> RedisStores:
        """Make every call of these stores a call of this life."""
        connection, scripts = stores.context.connection, stores.context.scripts
        dispatch, run_each = connection.dispatch, scripts.run_each

        async def mortal_dispatch(commands: Sequence[Command], **options: Any) -> list[Any]:
            self._breathe()
            replies = await dispatch(commands, **options)
            self._breathe()
            return replies

        async def mortal_run_each(calls: Sequence[Call], **options: Any) -> list[Any]:
            self._breathe()
            if all(call.script in READS for call in calls):
                return await run_each(calls, **options)
            self.writes.append("+".join(sorted({call.script for call in calls})))
            if len(self.writes) != self._crash_at:
                return await run_each(calls, **options)
            if self._side == "after":
                await run_each(calls, **options)
            self.ended.set()
            raise asyncio.CancelledError("this worker died")

        connection.dispatch = mortal_dispatch
        scripts.run_each = mortal_run_each
        return stores

    def _breathe(self) -> None:
        if self.over or self.ended.is_set():
            raise asyncio.CancelledError("this worker is dead")
