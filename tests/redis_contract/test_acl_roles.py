"""What each ACL role may do and what it may not, on a real server, by plain commands and inside scripts."""

from __future__ import annotations

import pytest

from lash_core.client import LashClient
from lash_core.errors import InvalidArgumentError, ProcessCancelled, StoreAuthError
from lash_core.model.await_event import Accepted, AwaitEventKey, Resolution, WaitIdentity
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import AbandonRequest, ProcessExternalRef, ProcessHandleDescriptor
from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.reports import ChangeCursor
from lash_core.model.scope import SessionScope
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.redis_store.acl import ROLES, WARNING, Role, acl_line, acl_rules, acl_text
from lash_core.redis_store.stores import RedisStores
from lash_core.store.login_tickets import LoginEnded, TicketRedeemed
from lash_core.store.process_batches import LeasedCompletion
from lash_core.testing.servers import ValkeyServer
from tests.redis_contract.acl_roles import FILES, connect, denials, refused
from tests.redis_contract.rows import owner, registration, unique
from tests.redis_contract.run_effects import run_effects

OPERATION = ExecutionScope.runtime_operation("op")
EXTERNAL = ProcessExternalRef(backend="b", id="1")


def test_the_shipped_files_are_what_is_printed() -> None:
    """``deploy/acl/<role>.acl`` is the line of ``lash acl print <role>`` for the default namespace."""
    assert {role: acl_line(role) + "\n" for role in ROLES} == {
        role: (FILES / f"{role}.acl").read_text() for role in ROLES
    }


@pytest.mark.parametrize("role", ROLES)
def test_the_print_says_what_no_acl_can_prevent(role: Role) -> None:
    """Redis checks keys and commands, not verbs."""
    text = acl_text(role, "shop")

    assert "Redis checks keys and commands, not verbs" in text
    assert "forge a row" in text
    assert all(line in text for line in WARNING.splitlines())
    assert acl_line(role, "shop") in text


def test_another_namespace_gets_its_own_keys() -> None:
    """Every pattern names the namespace."""
    assert "lash" not in acl_rules("worker", "shop")
    with pytest.raises(InvalidArgumentError):
        acl_rules("worker", "Shop *")


async def test_nobody_logs_in_without_a_password(guarded: ValkeyServer) -> None:
    """The files name users that cannot log in until the operator gives them a password."""
    async with connect(guarded, None) as stores:
        for role in ROLES:
            await stores.context.connection.execute("", "ACL", "SETUSER", f"lash-{role}", "resetpass")
    for role in ROLES:
        with pytest.raises(StoreAuthError):
            async with connect(guarded, role):
                pass


async def test_a_worker_can_do_its_work(guarded: ValkeyServer, admin: RedisStores) -> None:
    """Start, claim, write, grant, wake, complete, prune, look: nothing is refused."""
    async with connect(guarded, "worker") as stores:
        await _work(stores)

    assert [] == await denials(admin)


async def _work(stores: RedisStores) -> None:
    registry = stores.process_registry
    assert stores.promises.signing_secrets() is not None
    session, other = SessionScope(session_id=unique("s")), SessionScope(session_id=unique("s"))
    record = await registry.register_process(registration(wake_target=session), grant_to=session)
    (claimed,) = await registry.claim_ready_processes(owner(), 1, 30_000)
    lease = claimed.lease
    wake = ProcessEventAppendRequest(event_type="process.wake", payload={"text": "hi"})
    await registry.append_event(record.id, wake, lease=lease)
    await registry.append_event(record.id, ProcessEventAppendRequest.cancel_requested(record.id, "stop"))
    await registry.renew_process_leases([lease], 30_000)
    await registry.mark_cancel_seen(lease)
    await registry.transfer_handles(session, other, [record.id])
    await registry.complete_processes_with_lease([LeasedCompletion(lease, ProcessAwaitOutput.success(1))])
    await registry.await_terminal(record.id)
    await registry.audit_entries(record.id)
    await registry.requeue_expired_leases(10)
    await registry.drop_unused_owners(10)
    await registry.deliver_outbox(min_age_ms=0, limit=10)
    await registry.fleet_facts()
    await registry.check_writable()
    await registry.delete_session_process_state(other.session_id)
    await registry.list_processes(ProcessFilter(status="any"))
    await registry.prune_terminal_processes(await registry.server_time_ms() + 10_000)
    await stores.directory.list_workers()
    await run_effects(stores)


async def test_an_observer_reads_and_nothing_else(guarded: ValkeyServer, admin: RedisStores) -> None:
    """Every view works; no write, no script, no secret."""
    watched = SessionScope(session_id=unique("s"))
    record = await admin.process_registry.register_process(registration(), grant_to=watched)
    async with connect(guarded, "observer") as stores:
        assert None is stores.promises.signing_secrets()
        registry = stores.process_registry
        assert record == await registry.get_process(record.id)
        assert record.id in [row.id for row in await registry.list_non_terminal()]
        assert record.id in [
            row.id for row in (await registry.processes_changed_since(ChangeCursor.initial(), 100)).records
        ]
        assert () == await registry.events_after(record.id, 0)
        assert 1 == len(await registry.handles_for_process(record.id))
        assert 1 <= (await registry.fleet_facts()).processes["running"]
        assert () == await registry.lease_owners()
        assert 1 <= await registry.count_processes()
        await stores.directory.list_workers()
        lash = LashClient(stores)
        assert [record.id] == [
            view.record.id for view in (await lash.session(watched.session_id).processes()).processes
        ]
        assert record.id in [view.record.id for view in (await lash.fleet(events=3)).processes]
        assert [] == await denials(admin)

        with pytest.raises(StoreAuthError):
            await registry.register_process(registration())
        with pytest.raises(StoreAuthError):
            await registry.set_external_ref(record.id, EXTERNAL)
        key = stores.context.keyspace.of_process(record.id).control(record.id)
        assert await refused(stores, "GET", "sec:{lash:dir}")
        assert await refused(stores, "HSET", key, "st", "c")
        assert await refused(stores, "DEL", key)
        assert await refused(stores, "EVAL", "return 1", 0)
        assert await refused(stores, "EVAL", "return redis.call('HGET', KEYS[1], 'st')", 1, key)
        assert await refused(stores, "GET", "{other:0}:p:x")
        assert await refused(stores, "KEYS", "*")


async def test_an_enqueuer_starts_cancels_signals_and_reads_by_name(guarded: ValkeyServer, admin: RedisStores) -> None:
    """What a web application needs: nothing is refused."""
    parent, child = [(await admin.process_registry.register_process(registration())).id for _ in range(2)]
    await admin.process_registry.watch_processes(parent, [child])
    async with connect(guarded, "enqueuer") as stores:
        registry = stores.process_registry
        await registry.append_event(child, ProcessEventAppendRequest.cancel_requested(child, "not needed"))
        session = SessionScope(session_id=unique("s"))
        record = await registry.register_process(registration(wake_target=session), grant_to=session)
        await registry.register_processes([registration() for _ in range(5)])
        assert 1 == (await LashClient(stores).session(session.session_id).processes()).total
        signal = ProcessEventAppendRequest.signal(record.id, "go", {"n": 1}, signal_id="one")
        await registry.append_event(record.id, signal)
        await registry.append_event(
            record.id, ProcessEventAppendRequest(event_type="process.wake", payload={"text": "hi"})
        )
        secrets = stores.promises.signing_secrets()
        assert secrets is not None
        for scope in (ExecutionScope.process(record.id), ExecutionScope.turn("s", "t"), OPERATION):
            key = AwaitEventKey.mint(scope, WaitIdentity.custom("k"), secrets.current)
            assert Accepted() == await stores.promises.resolve_promise(key, Resolution.ok(1))
            assert Resolution.ok(1) == await stores.promises.peek_promise(key)
        await registry.append_event(record.id, ProcessEventAppendRequest.cancel_requested(record.id, "enough"))
        ended = await registry.await_terminal(record.id)
        assert "cancelled" == ended.status.state
        assert 4 == len(await registry.events_after(record.id, 0))
        await registry.request_abandon(
            (await registry.register_process(registration())).id, AbandonRequest(requested_by="me", requested_at_ms=1)
        )
        await stores.directory.list_kinds()
        expires_at_ms = await registry.server_time_ms() + 60_000
        assert TicketRedeemed() == await stores.login_tickets.redeem_ticket(unique("ticket"), expires_at_ms)
        login = unique("login")
        assert LoginEnded() == await stores.login_tickets.end_login(login, expires_at_ms)
        assert await stores.login_tickets.is_login_ended(login)

    assert [] == await denials(admin)
    assert 0 == (await admin.process_registry.fleet_facts()).outbox_depth


async def test_an_enqueuer_cannot_claim_list_or_delete(guarded: ValkeyServer, admin: RedisStores) -> None:
    """By the registry's verbs, by plain commands, and by a script of its own."""
    record = await admin.process_registry.register_process(registration())
    keys = admin.context.keyspace.of_process(record.id)
    async with connect(guarded, "enqueuer") as stores:
        registry = stores.process_registry
        for verb in (
            lambda: registry.claim_ready_processes(owner(), 1, 30_000),
            lambda: registry.claim_process_lease(record.id, owner(), 30_000),
            registry.list_non_terminal,
            lambda: registry.prune_terminal_processes(2**50),
            registry.lease_owners,
        ):
            with pytest.raises(StoreAuthError):
                await verb()
        assert await refused(stores, "SET", "sec:{lash:dir}", "mine")
        assert await refused(stores, "DEL", keys.control(record.id))
        assert await refused(stores, "HSET", keys.owners, record.id, "1;1;a;s;default;t")
        assert await refused(stores, "ZADD", keys.leases, 1, record.id)
        assert await refused(stores, "EVAL", "return redis.call('ZADD', KEYS[1], 1, 'x')", 1, keys.leases)
        assert await refused(stores, "EVAL", "return redis.call('HVALS', KEYS[1])", 1, keys.owners)
        assert await refused(stores, "EVAL", "return redis.call('SET', 'sec:{lash:dir}', 'mine')", 0)
        assert await refused(stores, "EVAL", "return redis.call('DEL', KEYS[1])", 1, keys.control(record.id))
        assert await refused(stores, "HGETALL", keys.journal(record.id))
        assert await refused(stores, "HGETALL", keys.blobs(record.id))
        assert await refused(stores, "HSET", "{lash:dir}:layout", "v", 9)
        assert await refused(stores, "SET", "{other:0}:p:x", "y")

    assert None is await admin.process_registry.get_process_lease(record.id)


async def test_an_enqueuer_can_forge_a_row_with_plain_commands(guarded: ValkeyServer, admin: RedisStores) -> None:
    """The limit that the printed text names: keys and commands are checked, not verbs."""
    record = await admin.process_registry.register_process(registration())
    key = admin.context.keyspace.of_process(record.id).control(record.id)
    async with connect(guarded, "enqueuer") as stores:
        assert not await refused(stores, "HSET", key, "ua", "1")


async def test_a_worker_stays_in_its_namespace_and_administers_nothing(
    guarded: ValkeyServer, admin: RedisStores
) -> None:
    """Plain commands and scripts alike."""
    assert admin.context.keyspace.namespace == "lash"
    async with connect(guarded, "worker") as stores:
        for command in (
            ("FLUSHALL",),
            ("KEYS", "*"),
            ("SCAN", 0),
            ("CONFIG", "SET", "maxmemory", "1mb"),
            ("ACL", "LIST"),
            ("CLIENT", "LIST"),
            ("CLIENT", "KILL", "ID", 1),
            ("SHUTDOWN",),
            ("SET", "{other:0}:p:x", "y"),
            ("GET", "plain"),
            ("EVAL", "return redis.call('FLUSHALL')", 0),
            ("EVAL", "return redis.call('SET', '{other:0}:p:x', 'y')", 0),
            ("EVAL", "return redis.call('SPUBLISH', '{other:0}:done:x', 'y')", 0),
            ("GET", "sec:{other:dir}"),
            ("SSUBSCRIBE", "{other:0}:done:x"),
        ):
            assert (command, True) == (command, await refused(stores, *command))
        assert not await refused(stores, "SET", "sec:{lash:dir}", "ab" * 32)
        assert not await refused(stores, "EVAL", "return redis.call('SPUBLISH', '{lash:0}:done:x', 'y')", 0)


async def test_grants_by_a_worker_leave_no_denial(guarded: ValkeyServer, admin: RedisStores) -> None:
    """Both partitions of a grant are the worker's."""
    async with connect(guarded, "worker") as stores:
        record = await stores.process_registry.register_process(registration())
        scope = SessionScope(session_id=unique("s"))
        await stores.process_registry.grant_handle(scope, record.id, ProcessHandleDescriptor())
        assert await stores.process_registry.has_handle(scope, record.id)

    assert [] == await denials(admin)


async def test_the_other_stores_are_the_workers_too(guarded: ValkeyServer, admin: RedisStores) -> None:
    """Sessions, environments, artifacts, attachments, directory."""
    async with connect(guarded, "worker") as stores:
        reference = await stores.artifacts.put_artifact(b"artifact")
        assert b"artifact" == await stores.artifacts.get_artifact(reference)
        attachment = await stores.attachments.put(b"bytes")
        assert b"bytes" == await stores.attachments.get(attachment.attachment_id)
        assert None is not await stores.env_store.get(EMPTY_ENV_REF)
        session = await stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id=unique("s")))
        assert None is not await session.load_session_meta()
        await stores.session_store_factory.delete_session(session.session_id)
        await stores.directory.publish_kinds(
            [KindManifest(kind="job", disposition=RecoveryDisposition.RERUNNABLE, signals={})]
        )
        await stores.directory.publish_worker(WorkerEntry(worker_id="w", identity=owner()))
        await stores.directory.request_drain("w")
        await stores.directory.put_projector("p", ChangeCursor.initial())
        await stores.directory.forget_projector("p")
        await stores.directory.remove_worker("w")
        await stores.directory.remove_kind("job")

    assert [] == await denials(admin)


async def test_a_client_works_as_an_enqueuer(guarded: ValkeyServer, admin: RedisStores) -> None:
    """What an application does with ``LashClient``: start, look, cancel, wait."""
    async with LashClient.connect(guarded.url.replace("unix://", "unix://lash-enqueuer:secret@")) as lash:
        handle = await lash.enqueue("job", {"n": 1}, disposition="rerunnable")
        await lash.enqueue_many("job", [{"n": 2}, {"n": 3}], disposition="rerunnable")
        assert "running" == await handle.status()
        await handle.cancel(reason="enough")
        with pytest.raises(ProcessCancelled):
            await handle.result(timeout=5)

    assert [] == await denials(admin)
