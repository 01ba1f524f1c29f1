"""An owner that dies at a chosen write: before it reaches the store, or after it did and before its reply came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from lash_core.errors import StoreUnreachableError
from lash_core.runtime.journal.effects import JournaledEffectHost

STORE_WRITES = frozenset(
    {
        "try_claim_session_execution_lease",
        "release_session_execution_lease",
        "claim_leading_ready_session_command",
        "claim_ready_queued_work",
        "claim_ready_queued_work_by_batch_ids",
        "claim_checkpoint_work",
        "claim_active_turn_inputs",
        "claim_next_turn_inputs",
        "abandon_queued_work_claim",
        "abandon_turn_input_claim",
        "open_turn",
        "record_turn_effects",
        "commit_runtime_state",
    }
)
PROMISE_WRITES = frozenset({"open_promise", "resolve_promise"})


@dataclass
class Life:
    """An owner's life, counted in writes.

    Attributes:
        dies_at: number of the write, from 0, or the verb of the first one; None = it lives.
        after: the write reaches the store, its reply does not come.
        writes: the verbs written, in order.
        ended: set at its death; what it does afterwards reaches nobody.
    """

    dies_at: int | str | None = None
    after: bool = False
    writes: list[str] = field(default_factory=list[str])
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _last: asyncio.Future[None] | None = None

    async def write(self, verb: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """One write of this owner."""
        self.check()
        number = len(self.writes)
        self.writes.append(verb)
        if self.dies_at not in (number, verb):
            return await call()
        if self.after:
            await call()
        self.ended.set()
        # It stands still until the test takes its tasks away, as a killed program would.
        self._last = asyncio.get_running_loop().create_future()
        await self._last
        raise AssertionError("unreachable: a dead owner goes on")

    def bury(self) -> None:
        """Take away the task that stands still in its last write."""
        if self._last is not None:
            self._last.cancel()

    def check(self) -> None:
        """Raises: StoreUnreachableError: the owner is dead."""
        if self.ended.is_set():
            raise StoreUnreachableError("the owner is dead")


class MortalStore:
    """A store or a part of one whose caller may die at a write; reads pass as long as it lives."""

    def __init__(self, store: Any, life: Life, writes: frozenset[str] = STORE_WRITES) -> None:
        self._store = store
        self._life = life
        self._writes = writes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in self._writes:
            return found

        async def write(*args: Any, **kwargs: Any) -> Any:
            return await self._life.write(name, lambda: found(*args, **kwargs))

        return write


def mortal_host(stores: Any, life: Life) -> JournaledEffectHost:
    """The stores' effect host, whose promises are written by the same owner."""
    promises: Any = MortalStore(stores.promises, life, PROMISE_WRITES)
    return JournaledEffectHost(stores.effect_journal, promises)


async def until_death(life: Life, work: Awaitable[Any]) -> Any:
    """Run work to its end, or to its owner's death: None then, and nothing of it runs any more."""
    task, ended = asyncio.ensure_future(work), asyncio.ensure_future(life.ended.wait())
    try:
        await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
        if not life.ended.is_set():
            return task.result()
        return None
    finally:
        life.bury()
        for one in (task, ended):
            one.cancel()
        await asyncio.wait([task, ended])
        if not task.cancelled():
            task.exception()
