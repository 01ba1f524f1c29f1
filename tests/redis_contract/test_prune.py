"""A prune takes everything that belongs to a row, on a full server too, and nothing of the id's next life."""

from __future__ import annotations

import pytest

from lash_core.errors import LeaseLostError, OutcomeUnknownError, StoreFullError
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.lease import Acquired, ProcessLease
from lash_core.model.reports import PruneReport
from lash_core.model.scope import SessionScope
from lash_core.redis_store import process_prune
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from tests.redis_contract.rows import owner, registration, unique
from tests.redis_contract.test_grants_crash import Cut, entries

FAR_MS = 10_000_000


async def lease_of(stores: RedisStores, process_id: str) -> ProcessLease:
    """A fresh lease."""
    outcome = await stores.process_registry.claim_process_lease(process_id, owner(), 60_000)
    assert isinstance(outcome, Acquired)
    return outcome.lease


async def ended(stores: RedisStores, process_id: str) -> None:
    """Claim and complete."""
    lease = await lease_of(stores, process_id)
    await stores.process_registry.complete_process_with_lease(lease, ProcessAwaitOutput.success(1))


async def prune_all(stores: RedisStores) -> PruneReport:
    """Everything that has ended."""
    return await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + FAR_MS
    )


async def keys_naming(stores: RedisStores, text: str) -> list[str]:
    """Keys of the namespace that contain a text."""
    found = await stores.context.connection.execute("", "KEYS", f"*{stores.context.keyspace.namespace}:*")
    return sorted(key for key in found if text in key)


async def test_nothing_of_a_row_is_left(stores: RedisStores) -> None:
    """Row, log, journal, promises, audit, acks, grants on both sides, wake notes and the sessions it owned."""
    session = SessionScope(session_id=unique("session"))
    wanted = registration(wake_target=session)
    registry = stores.process_registry
    await registry.register_process(wanted, grant_to=session)
    await registry.append_event(wanted.id, ProcessEventAppendRequest(event_type="process.wake", payload={"text": "x"}))
    await registry.ack_wake(wanted.id, 1)
    keys = stores.context.keyspace.of_process(wanted.id)
    for make in (keys.journal, keys.promises, keys.blobs):
        await stores.context.connection.execute(make(wanted.id), "HSET", make(wanted.id), "f", "v")
    for own in (f"process-env:{wanted.id}", f"process-session-turn:{wanted.id}"):
        head = stores.context.keyspace.of_session(own).session_head(own)
        await stores.context.connection.execute(head, "HSET", head, "f", "v")
        await registry.grant_handle(SessionScope(session_id=own), wanted.id, ProcessHandleDescriptor())
        await stores.promises.revoke_session_promises(own)
    await ended(stores, wanted.id)
    await lease_of(stores, wanted.id)

    assert PruneReport(pruned_processes=1, pruned_events=2) == await prune_all(stores)

    assert [] == await keys_naming(stores, wanted.id)
    assert [] == await keys_naming(stores, session.session_id)
    assert [] == await entries(stores)
    for fixed in (keys.changes, keys.leases, keys.owners, keys.marks, keys.ready("default")):
        assert 0 == await stores.context.connection.execute(fixed, "EXISTS", fixed)
    assert PruneReport() == await prune_all(stores)


async def test_a_new_life_does_not_inherit_grants_that_the_outbox_still_holds(
    stores: RedisStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut between the removal of the row and the session's side: the new row has no holder."""
    session = SessionScope(session_id=unique("session"))
    wanted = registration()
    await stores.process_registry.register_process(wanted, grant_to=session)
    await ended(stores, wanted.id)
    with Cut(monkeypatch, "put_session_grants"), pytest.raises(OutcomeUnknownError):
        await prune_all(stores)

    await stores.process_registry.register_process(wanted)

    assert not await stores.process_registry.has_handle(session, wanted.id)
    assert () == await stores.process_registry.list_handles(session)
    await stores.process_registry.deliver_outbox(min_age_ms=0, limit=10)
    assert [] == await keys_naming(stores, session.session_id)


async def test_a_lease_of_the_pruned_life_is_refused_in_the_next(stores: RedisStores) -> None:
    """Fences rise over a prune, and the old token names nothing."""
    wanted = registration()
    await stores.process_registry.register_process(wanted)
    await ended(stores, wanted.id)
    old = await lease_of(stores, wanted.id)
    await prune_all(stores)
    await stores.process_registry.register_process(wanted)
    note = ProcessEventAppendRequest(event_type="note", payload=1)

    assert None is await stores.process_registry.get_process_lease(wanted.id)
    with pytest.raises(LeaseLostError):
        await stores.process_registry.append_event(wanted.id, note, lease=old)
    new = await lease_of(stores, wanted.id)
    assert new.fencing_token > old.fencing_token
    with pytest.raises(LeaseLostError):
        await stores.process_registry.append_event(wanted.id, note, lease=old)


async def test_a_limit_bounds_one_call(stores: RedisStores) -> None:
    """The reaper prunes in portions."""
    for _ in range(7):
        wanted = registration()
        await stores.process_registry.register_process(wanted)
        await ended(stores, wanted.id)
    now_ms = await stores.process_registry.server_time_ms()

    portions = [
        (await stores.process_registry.prune_terminal_processes(now_ms + FAR_MS, limit=3)).pruned_processes
        for _ in range(4)
    ]

    assert [3, 3, 1, 0] == portions


async def test_a_full_server_can_finish_and_shrink() -> None:
    """At ``maxmemory`` a start is refused, a completion and a prune are not, and then starts work again."""
    settings = StoreSettings(namespace="full", partitions=4)
    with ValkeyServer() as server:
        async with RedisStores.connect(server.url, settings=settings) as stores:
            registry = stores.process_registry
            running = await registry.register_process(registration())
            session = SessionScope(session_id="s")
            for _ in range(50):
                done = await registry.register_process(registration(), grant_to=session)
                await ended(stores, done.id)
            lease = await lease_of(stores, running.id)
            await stores.context.connection.execute("", "CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreFullError):
                await registry.register_process(registration())

            await registry.complete_process_with_lease(lease, ProcessAwaitOutput.success(1))
            report = await prune_all(stores)

            assert 51 == report.pruned_processes
            assert [] == await entries(stores)
            await stores.context.connection.execute("", "CONFIG", "SET", "maxmemory", "0")
            await registry.register_process(registration())


async def test_the_script_looks_again(stores: RedisStores) -> None:
    """A row that changed between the look and the script stays: restarted, touched, or changed after the cursor."""
    registry = stores.process_registry
    wanted = registration()
    await registry.register_process(wanted)
    keys = stores.context.keyspace.of_process(wanted.id)
    candidate = process_prune.Candidate(wanted.id, wanted.registration_hash)
    far = await registry.server_time_ms() + FAR_MS

    assert [] == await registry._prune(keys, [candidate], far, 2**53)
    await ended(stores, wanted.id)
    row = await registry.get_process(wanted.id)
    assert row is not None
    assert [] == await registry._prune(keys, [process_prune.Candidate(wanted.id, "other")], far, 2**53)
    assert [] == await registry._prune(keys, [candidate], row.updated_at_ms, 2**53)
    assert [] == await registry._prune(keys, [candidate], far, 1)
    assert [1] == await registry._prune(keys, [candidate], row.updated_at_ms + 1, 2**53)
