"""The in-memory stores as one object, and what callers may do with what they read."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import InvalidArgumentError
from lash_core.memory_store import InMemoryStores, MemoryProcessRegistry
from lash_core.model.await_output import ProcessAwaitOutput, Success
from lash_core.model.disposition import DurabilityTier
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.lease import Acquired, Busy, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity, LocalProcessLiveness
from lash_core.model.process_input import EngineInput, ProcessInput
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.store import FleetDirectory, ProcessMaintenance, ProcessRegistry
from tests.model.registrations import engine

OWNER = LeaseOwnerIdentity("w", "i")


class OneDeadProcess:
    """A process table in which pid 7 is gone."""

    def is_dead(self, pid: int, process_start: int) -> bool:
        """True for pid 7."""
        return (7, 1) == (pid, process_start)


def local(name: str, pid: int) -> LeaseOwnerIdentity:
    """An owner of this host."""
    place: dict[str, Any] = {"host_id": "h", "boot_id": "b", "pid_namespace": "n"}
    return LeaseOwnerIdentity(name, "i", LocalProcessLiveness(**place, pid=pid, process_start=1))


async def test_it_has_every_contract() -> None:
    """The registry, its maintenance, the directory."""
    async with InMemoryStores() as stores:
        assert isinstance(stores.process_registry, ProcessRegistry)
        assert isinstance(stores.process_registry, ProcessMaintenance)
        assert isinstance(stores.directory, FleetDirectory)
        assert 1 == stores.process_registry.partition_count()


async def test_only_a_virtual_clock_can_be_moved() -> None:
    """Moving the machine's clock is refused."""
    async with InMemoryStores(VirtualClock()) as stores, InMemoryStores() as real:
        before = await stores.process_registry.server_time_ms()
        await stores.advance_clock(60_000)

        assert await stores.process_registry.server_time_ms() >= before + 60_000
        with pytest.raises(InvalidArgumentError, match="VirtualClock"):
            await real.advance_clock(1)


async def test_a_copy_with_another_tier_sees_the_same_rows() -> None:
    """Only what it reports differs."""
    registry = MemoryProcessRegistry()
    durable = registry.with_durability_tier(DurabilityTier.DURABLE)
    await registry.register_process(engine("p"))

    assert await registry.get_process("p") == await durable.get_process("p")
    assert (DurabilityTier.INLINE, DurabilityTier.DURABLE) == (registry.durability_tier(), durable.durability_tier())


async def test_what_was_read_may_be_changed() -> None:
    """Payloads and outcomes are copies of the caller's own, in both directions."""
    registry = MemoryProcessRegistry()
    payload: dict[str, Any] = {"list": [1]}
    await registry.register_process(engine("p", payload, event_types=(ProcessEventType("note"),)))
    appended = await registry.append_event("p", ProcessEventAppendRequest("note", payload))
    (claimed,) = await registry.claim_ready_processes(OWNER, 1, 60_000)
    ended = await registry.complete_process_with_lease(claimed.lease, ProcessAwaitOutput.success(payload))

    payload["list"].append(2)
    appended.event.payload["list"].append(3)
    assert isinstance(claimed.record.input, EngineInput)
    claimed.record.input.payload["list"].append(4)
    assert isinstance(ended.await_output, Success)
    ended.await_output.value["list"].append(5)

    record = await registry.get_process("p")
    assert record is not None
    assert ProcessInput.engine("report.build", {"list": [1]}) == record.input
    assert ProcessAwaitOutput.success({"list": [1]}) == record.await_output
    assert {"list": [1]} == (await registry.events_after("p", 0))[0].payload


async def test_a_reclaim_needs_proof() -> None:
    """The claimant's own process table must be certain; a registry without one proves nothing."""
    for table, expected in ((OneDeadProcess(), Acquired), (None, Busy)):
        registry = MemoryProcessRegistry(process_table=table)
        await registry.register_process(engine("p"))
        held = await registry.claim_process_lease("p", local("dead", 7), 60_000)
        assert isinstance(held, Acquired)

        outcome = await registry.reclaim_process_lease("p", local("heir", 8), held.lease, 60_000)

        assert expected is type(outcome)


async def test_a_reclaim_compares_what_was_observed() -> None:
    """A lease that changed hands since is not taken, and a living holder keeps his."""
    registry = MemoryProcessRegistry(process_table=OneDeadProcess())
    await registry.register_process(engine("p"))
    held = await registry.claim_process_lease("p", local("dead", 7), 60_000)
    assert isinstance(held, Acquired)
    observed: ProcessLease = held.lease.model_copy(update={"fencing_token": held.lease.fencing_token - 1})

    assert isinstance(await registry.reclaim_process_lease("p", local("heir", 8), observed, 60_000), Busy)
    taken = await registry.reclaim_process_lease("p", local("heir", 8), held.lease, 60_000)
    assert isinstance(taken, Acquired)
    assert isinstance(await registry.reclaim_process_lease("p", local("late", 9), taken.lease, 60_000), Busy)
    assert (1, 1) == await _attempt_and_deaths(registry)


async def _attempt_and_deaths(registry: MemoryProcessRegistry) -> tuple[int, int]:
    record = await registry.get_process("p")
    assert record is not None
    return record.attempt, record.deaths


async def test_fleet_facts() -> None:
    """Rows by status, queues by what is due, leases, and the age of the oldest due row."""
    async with InMemoryStores(VirtualClock()) as stores:
        registry = stores.process_registry
        await registry.register_processes(
            [engine("a"), engine("b"), engine("c", queue="slow", delay_ms=60_000), engine("d", queue="slow")]
        )
        await stores.advance_clock(5_000)
        await registry.claim_ready_processes(OWNER, 1, 60_000)

        facts = await registry.fleet_facts()

    assert ({"running": 4}, {"default": 1, "slow": 1}, {"slow": 1}) == (facts.processes, facts.ready, facts.delayed)
    assert (1, {"default": 1}, 0) == (facts.leases, facts.leases_by_queue, facts.outbox_depth)
    assert all(5_000 <= age < 15_000 for age in facts.oldest_ready_ms.values())


async def test_owners_of_leases() -> None:
    """Worker incarnations, not attempts; their leases by any attempt."""
    registry = MemoryProcessRegistry()
    await registry.register_processes([engine(f"p-{n}") for n in range(3)])
    await registry.claim_ready_processes(OWNER, 2, 60_000)
    await registry.claim_process_lease("p-2", LeaseOwnerIdentity("x", "i"), 60_000)

    assert (OWNER, LeaseOwnerIdentity("x", "i")) == await registry.lease_owners()
    assert ["p-0", "p-1"] == [lease.process_id for lease in await registry.leases_of_owner(OWNER, 10)]
    assert 1 == len(await registry.leases_of_owner(OWNER, 1))


async def test_pruning_deletes_the_sessions_of_a_process() -> None:
    """The session of its environment and that of its turn go with the row, others stay."""
    async with InMemoryStores(VirtualClock()) as stores:
        registry, sessions = stores.process_registry, stores.session_store_factory
        for session_id in ("process-env:p", "process-session-turn:p", "process-env:q"):
            await sessions.create_store(SessionStoreCreateRequest(session_id=session_id))
        await registry.register_process(engine("p"))
        await registry.append_event("p", ProcessEventAppendRequest.cancel_requested("p"))

        report = await registry.prune_terminal_processes(2**53)

        found = [await sessions.open_existing_store(name) for name in ("process-env:p", "process-session-turn:p")]
        assert (1, 2, [None, None]) == (report.pruned_processes, report.pruned_events, found)
        assert await sessions.open_existing_store("process-env:q") is not None
