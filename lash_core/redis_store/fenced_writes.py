"""What a fenced write carries beside its content (DESIGN 3.3 rules 6 and 8).

A store that was promoted with lost writes has accepted fewer fenced writes than it acknowledged: every write names the
number that its lease saw acknowledged, and the script answers ``behind``. A write also names itself by a random id, so
that a repeat after a lost reply is known; writes of one lease go one at a time, else the id of the first could be
overwritten by a second one before the repeat arrives.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from lash_core.model.lease import ProcessLease
from lash_core.redis_store.lease_codec import fence_argument

LEASES_REMEMBERED_MAX = 20_000
"""Leases whose counts are kept: more than any worker holds. A forgotten one falls back to the lease's own count."""


@dataclass(slots=True)
class LeaseMemory:
    """What this client knows about one lease: acknowledged fenced writes, marks already reported."""

    acknowledged: int = 0
    cancel_marks: int = 0
    signal_marks: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class FencedWrite:
    """One write on its way.

    ``args`` are four script arguments, all empty for a write without a lease: fence (with the owner's digest), token,
    acknowledged writes, id of the write.
    """

    args: tuple[str, str, str, str]
    memory: LeaseMemory | None = None

    def acknowledge(self, fenced_writes: int) -> None:
        """The store answered: it has accepted this many fenced writes of the row."""
        if self.memory is not None and fenced_writes > self.memory.acknowledged:
            self.memory.acknowledged = fenced_writes


UNFENCED = FencedWrite(("", "", "", ""))


class FencedWrites:
    """The leases of one registry, bounded; the oldest unused is forgotten first."""

    def __init__(self) -> None:
        self._memories: OrderedDict[str, LeaseMemory] = OrderedDict()

    def memory(self, lease: ProcessLease) -> LeaseMemory:
        """What is known about a lease."""
        name = f"{lease.process_id}\n{lease.lease_token}"
        found = self._memories.get(name)
        if found is None:
            found = self._memories[name] = LeaseMemory()
            if len(self._memories) > LEASES_REMEMBERED_MAX:
                self._memories.popitem(last=False)
        else:
            self._memories.move_to_end(name)
        return found

    def acknowledged(self, lease: ProcessLease) -> int:
        """Fenced writes acknowledged under a lease, without remembering a lease that never wrote."""
        found = self._memories.get(f"{lease.process_id}\n{lease.lease_token}")
        return lease.fenced_writes if found is None else max(found.acknowledged, lease.fenced_writes)

    def forget(self, lease: ProcessLease) -> None:
        """The lease is over."""
        self._memories.pop(f"{lease.process_id}\n{lease.lease_token}", None)

    @asynccontextmanager
    async def write(self, lease: ProcessLease | None) -> AsyncGenerator[FencedWrite]:
        """Open a write: of a lease, one at a time; without a lease, at once."""
        if lease is None:
            yield UNFENCED
            return
        memory = self.memory(lease)
        async with memory.lock:
            acknowledged = max(memory.acknowledged, lease.fenced_writes)
            args = (fence_argument(lease), lease.lease_token, str(acknowledged), secrets.token_hex(8))
            yield FencedWrite(args, memory)
