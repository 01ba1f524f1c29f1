"""Rows, owners and lost replies for the tests of this folder."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.lease import Acquired, ClaimedProcess, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.stores import RedisStores

TTL_MS = 30_000
DONE = ProcessAwaitOutput.success({"ok": True})
NOTE = ProcessEventAppendRequest(event_type="note", payload={"n": 1})


def registration(process_id: str | None = None, **facts: Any) -> ProcessRegistration:
    """A rerunnable row of an engine with one extra event type."""
    given: dict[str, Any] = {
        "id": process_id or f"process-{secrets.token_hex(4)}",
        "input": ProcessInput.engine("job", {"n": 1}),
        "disposition": RecoveryDisposition.RERUNNABLE,
        "env_ref": EMPTY_ENV_REF,
        "event_types": (ProcessEventType(name="note"),),
    }
    return ProcessRegistration(**(given | facts))


def worker(name: str = "worker") -> LeaseOwnerIdentity:
    """An owner whose death nobody can prove."""
    return LeaseOwnerIdentity.opaque(name, f"incarnation-{secrets.token_hex(4)}")


async def started(stores: RedisStores, **facts: Any) -> str:
    """The id of a new row."""
    return (await stores.process_registry.register_process(registration(**facts))).id


async def claimed(stores: RedisStores, owner: LeaseOwnerIdentity | None = None) -> ClaimedProcess:
    """The one due row, under a lease of 30 s."""
    (found,) = await stores.process_registry.claim_ready_processes(owner or worker(), 1, TTL_MS)
    return found


def colocated(stores: RedisStores, keys: PartitionKeys) -> str:
    """An id in that partition."""
    numbers = (f"colocated-{number}" for number in range(10_000))
    return next(name for name in numbers if stores.context.keyspace.of_process(name).index == keys.index)


async def claimed_by_name(stores: RedisStores, process_id: str, ttl_ms: int = TTL_MS) -> ProcessLease:
    """A lease on that row."""
    outcome = await stores.process_registry.claim_process_lease(process_id, worker(), ttl_ms)
    assert isinstance(outcome, Acquired)
    return outcome.lease


def partition(stores: RedisStores) -> PartitionKeys:
    """The keys of the only partition."""
    return stores.context.keyspace.partitions[0]


async def redis(stores: RedisStores, *args: str | int) -> Any:
    """One command."""
    return await stores.context.connection.execute(str(args[1]) if len(args) > 1 else "", *args)


def lose_replies(monkeypatch: pytest.MonkeyPatch, stores: RedisStores, script: str) -> list[Any]:
    """From now on each call of ``script`` runs twice, as after a lost reply; returns the list of the lost replies."""
    lost: list[Any] = []
    run = stores.context.scripts.run

    async def run_twice(calls: Sequence[Call], **options: Any) -> list[Any]:
        if any(call.script == script for call in calls):
            lost.extend(await run(calls, **options))
        return await run(calls, **options)

    monkeypatch.setattr(stores.context.scripts, "run", run_twice)
    return lost
