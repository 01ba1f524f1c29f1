"""What the whole conformance suite does to Redis: only declared keys of one partition, and no key that expires."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from lash_core.errors import LashError, StoreRefusedError
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.reports import ChangeCursor
from lash_core.model.session_commit import GraphReplaceFull
from lash_core.redis_store.commands import Command
from lash_core.redis_store.keys import layout_key
from lash_core.redis_store.scripts import Call, Scripts
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.content_sweep import content_sweep_of
from lash_core.settings import StoreSettings
from lash_core.testing.conformance import (
    await_events,
    background_tasks,
    effect_journal,
    live_replay,
    login_tickets,
    queued_work,
    ready_sessions,
    session_factory,
    session_lease,
    session_persistence,
    trigger_store,
    turn_inputs,
    turn_journal,
)
from lash_core.testing.conformance.process_registry import cases
from lash_core.testing.conformance.session_scene import chain, committed, opened
from lash_core.testing.servers import ValkeyServer
from tests.redis_contract.declared_keys import PROLOGUE, checked_scripts
from tests.redis_contract.run_effects import run_effects
from tools.lua_headers import all_scripts

FURTHER: tuple[Any, ...] = (
    *(effect_journal, await_events, live_replay, trigger_store, login_tickets, background_tasks),
    *(session_lease, queued_work, turn_inputs, turn_journal, session_persistence, session_factory, ready_sessions),
)
"""The suites beside the registry's."""
ELSEWHERE: dict[str, str] = {}
"""Scripts that the registry's suite and this folder do not run → the test that runs them wrapped."""


@dataclass
class Traces:
    """What the suite left behind."""

    faults: list[str] = field(default_factory=list)
    scripts: set[str] = field(default_factory=set)
    split_calls: list[str] = field(default_factory=list)
    expiring: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def traces() -> Generator[Traces]:
    """Runs the suite once with wrapped scripts on a server of its own."""
    found = Traces()
    with pytest.MonkeyPatch.context() as patch, ValkeyServer() as server:
        _watch_calls(patch, found)
        with checked_scripts(patch, found.scripts):
            asyncio.run(_run_all(server.url, found))
        yield found


def _watch_calls(patch: pytest.MonkeyPatch, found: Traces) -> None:
    plain = Scripts.run

    async def run(self: Scripts, calls: Sequence[Call], **options: Any) -> list[Any]:
        for call in calls:
            if len({key[: key.index("}") + 1] for key in call.keys}) != 1:
                found.split_calls.append(call.script)
        return await plain(self, calls, **options)

    patch.setattr(Scripts, "run", run)


async def _run_all(url: str, found: Traces) -> None:
    operations: dict[str, list[tuple[str, Any]]] = {}
    for name, case in cases():
        operations.setdefault(name.partition(".")[0], []).append((name, case))
    for number, chosen in enumerate(operations.values()):
        settings = StoreSettings(namespace=f"k{number}", partitions=4)
        async with RedisStores.connect(url, settings=settings, test_clock=True) as stores:
            for name, case in chosen:
                try:
                    await case(stores)
                except (AssertionError, LashError) as error:
                    found.faults.append(f"{name}: {error}")
            if number == 0:
                await _run_directory(stores)
                await _run_housekeeping(stores)
                await _run_upgrade(stores)
                await run_effects(stores)
                await _run_content(stores)
                await _run_large_replace(stores)
            found.expiring += await _expiring_keys(stores)
    await _run_further(url, found)


async def _run_further(url: str, found: Traces) -> None:
    """The suites of the other contracts, a namespace each."""
    for number, suite in enumerate(FURTHER):
        settings = StoreSettings(namespace=f"f{number}", partitions=4)
        async with RedisStores.connect(url, settings=settings, test_clock=True) as stores:
            # Cases that close their stores leave nothing to the next one.
            further = {name: case for name, case in suite.cases() if not name.startswith("closing.")}
            for name, case in further.items():
                try:
                    await case(stores)
                except (AssertionError, LashError) as error:
                    found.faults.append(f"{name}: {error}")
            found.expiring += await _expiring_keys(stores)


async def _run_directory(stores: RedisStores) -> None:
    identity = LeaseOwnerIdentity.opaque("w", "i")
    await stores.directory.publish_worker(WorkerEntry(worker_id="w", identity=identity, queues=("default",)))
    await stores.directory.request_drain("w")
    await stores.directory.publish_kinds([KindManifest(kind="k", disposition=RecoveryDisposition.RERUNNABLE)])
    await stores.directory.put_projector("p", ChangeCursor.initial())
    await stores.directory.remove_worker("w")


async def _run_housekeeping(stores: RedisStores) -> None:
    await stores.process_registry.check_writable()
    await stores.process_registry.fleet_facts()
    await stores.process_registry.drop_unused_owners(10)
    await stores.process_registry.deliver_outbox(min_age_ms=0, limit=10)


async def _run_upgrade(stores: RedisStores) -> None:
    key = layout_key(stores.context.keyspace.namespace)
    await stores.context.scripts.run([Call("raise_write_version", (key,), (1,))])


async def _run_content(stores: RedisStores) -> None:
    kept = await stores.attachments.put(b"attachment")
    await stores.attachments.touch(kept.attachment_id)
    await stores.attachments.delete(kept.attachment_id)
    await stores.attachment_manifest.record_intent("s", kept.attachment_id)
    await stores.attachment_manifest.commit_refs("s", AttachmentOwner.turn("t"), [kept.attachment_id])
    await stores.attachment_manifest.drop_ref("s", kept.attachment_id)
    await content_sweep_of(stores).run_pass()
    key = layout_key(stores.context.keyspace.namespace)
    await stores.context.scripts.run([Call("claim_attachments_folder", (key,), ("folder",))])


async def _run_large_replace(stores: RedisStores) -> None:
    nodes = chain(*(letter * 250_000 for letter in "abc"))
    await committed(await opened(stores), graph=GraphReplaceFull(nodes, nodes[-1].node_id))


async def _expiring_keys(stores: RedisStores) -> list[str]:
    names = await stores.context.connection.execute("", "KEYS", "*")
    ttls = await stores.context.connection.read([Command(name, ("PTTL", name)) for name in names])
    return [name for name, ttl in zip(names, ttls, strict=True) if ttl >= 0]


def test_no_script_touches_an_undeclared_key(traces: Traces) -> None:
    """Every case of the suite passes when a key outside KEYS is an error."""
    assert [] == traces.faults


def test_the_keys_of_a_call_are_of_one_partition(traces: Traces) -> None:
    """One hash tag a call, so that a cluster takes it."""
    assert [] == traces.split_calls


def test_every_script_was_run(traces: Traces) -> None:
    """The check above is worth nothing for a script that did not run."""
    assert set() == {script.name for script in all_scripts()} - traces.scripts - set(ELSEWHERE)


def test_no_key_expires(traces: Traces) -> None:
    """Retention is the reaper's; a key with a TTL would lose work."""
    assert [] == traces.expiring


@pytest.mark.parametrize("body", ["return redis.call('GET', 'other')", "return redis.pcall('DEL', KEYS[1], 'other')"])
async def test_the_wrapped_loader_catches_an_undeclared_key(stores: RedisStores, body: str) -> None:
    """A check that catches nothing proves nothing."""
    with pytest.raises(StoreRefusedError, match="undeclared key other"):
        await stores.context.connection.execute("k", "EVAL", PROLOGUE + body, 1, "k")
