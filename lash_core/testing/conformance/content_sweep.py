"""The conformance suite of the sweep of stored content (``docs/contracts/attachments.md`` 5 and 6).

Sweeps look at everything that a set of stores holds: run these cases on stores of their own, one at a time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from lash_core.errors import StoreRefusedError
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.environment import EMPTY_ENV_REF, ProcessExecutionEnvSpec
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessInput
from lash_core.model.session import SessionPolicy, SessionStoreCreateRequest
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerTarget
from lash_core.model.trigger_command import RegisterTrigger
from lash_core.runtime.attachment_roots import AttachmentRoots
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.content_sweep import (
    ContentSweep,
    SweepReport,
    content_sweep_of,
    reclaim_unreferenced_attachments,
)
from lash_core.store.content_sweep import ContentPage, ContentRoots, StoredContent, SweptContent
from lash_core.store.process_env_store import persist_process_execution_env
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.trigger_store import TriggerStore
from lash_core.testing.conformance.artifact_store import ArtifactStores
from lash_core.testing.conformance.attachment_manifest import ManifestStores
from lash_core.testing.conformance.content_cases import fresh_bytes
from lash_core.testing.conformance.process_env_store import EnvironmentStores
from lash_core.testing.conformance.process_registry.arrange import completed, registration, unique
from lash_core.testing.conformance.stores import can_advance, elapse
from lash_core.testing.conformance.suite import AnyCase, cases_in

GRACE_MS = 1_000


class MaintainedRegistry(ProcessRegistry, ProcessMaintenance, Protocol):
    """Rows, and the store's time."""


class SweepStores(ManifestStores, ArtifactStores, EnvironmentStores, Protocol):
    """Stores that can be swept."""

    @property
    def process_registry(self) -> MaintainedRegistry:
        """The rows."""
        ...

    @property
    def triggers(self) -> TriggerStore:
        """Subscriptions."""
        ...

    @property
    def swept_contents(self) -> Sequence[SweptContent]:
        """What is swept."""
        ...

    @property
    def content_roots(self) -> Sequence[ContentRoots]:
        """What names it."""
        ...


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(content_sweep.<function>, function)``."""
    return cases_in(sys.modules[__name__])


def _sweep(stores: SweepStores) -> ContentSweep:
    return content_sweep_of(stores, grace_ms=GRACE_MS)


async def _swept(stores: SweepStores) -> SweepReport:
    """Let everything grow old, and sweep."""
    await elapse(stores, GRACE_MS + 100)
    return await _sweep(stores).run_pass()


async def _environment(stores: SweepStores, **options: str) -> str:
    spec = ProcessExecutionEnvSpec(plugin_options={"unique": unique("env"), **options})
    return await persist_process_execution_env(stores.env_store, spec)


async def _is_there(stores: SweepStores, ref: str) -> bool:
    content = {content.family: content for content in stores.swept_contents}[ref.partition(":")[0]]
    cursor: str | None = None
    while True:
        page = await content.list_stored(cursor)
        if ref in {item.ref for item in page.items}:
            return True
        cursor = page.next_cursor
        if cursor is None:
            return False


def _facade(stores: SweepStores, session_id: str, owner: AttachmentOwner | None = None) -> SessionAttachments:
    return SessionAttachments(session_id, stores.attachments, stores.attachment_manifest, owner=owner)


async def what_nobody_names_goes(stores: SweepStores) -> None:
    """Environments, artifacts and attachments alike; the empty environment stays for ever."""
    refs = [
        await _environment(stores),
        await stores.artifacts.put_artifact(fresh_bytes()),
        (await stores.attachments.put(fresh_bytes())).attachment_id,
    ]

    report = await _swept(stores)

    assert [False] * 3 == [await _is_there(stores, ref) for ref in refs]
    assert report.deleted >= 3
    assert [] == report.failures
    assert await stores.env_store.get(EMPTY_ENV_REF) is not None


async def what_was_put_lately_stays(stores: SweepStores) -> None:
    """Whoever put it has the time of the grace to name it; a second put starts it again."""
    artifact = fresh_bytes()
    old = await stores.artifacts.put_artifact(artifact)
    await elapse(stores, GRACE_MS + 100)
    await stores.artifacts.put_artifact(artifact)
    young = await _environment(stores)

    await _sweep(stores).run_pass()

    assert await _is_there(stores, old)
    assert await _is_there(stores, young)


async def the_environment_of_a_row_stays_until_it_is_pruned(stores: SweepStores) -> None:
    """Running or ended: as long as the row can be read, so can its environment."""
    running, ended = await _environment(stores), await _environment(stores)
    await stores.process_registry.register_process(registration(env_ref=running))
    row = await completed(stores, registration(env_ref=ended))

    await _swept(stores)
    assert await _is_there(stores, running)
    assert await _is_there(stores, ended)
    await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + 1, ProcessFilter(status="any", identity_kind=row.identity.kind)
    )
    await _swept(stores)

    assert await _is_there(stores, running)
    assert not await _is_there(stores, ended)


async def content_that_a_payload_names_stays(stores: SweepStores) -> None:
    """An engine finds its program again, whatever its payload is made of."""
    ref = await stores.artifacts.put_artifact(fresh_bytes())
    program = ProcessInput.engine("conformance.work", {"deep": [{"program": ref}]})
    await stores.process_registry.register_process(registration(input=program))

    await _swept(stores)

    assert await _is_there(stores, ref)


async def artifacts_of_a_stored_environment_stay(stores: SweepStores) -> None:
    """As long as the environment is there; one pass later they may go too."""
    artifact = await stores.artifacts.put_artifact(fresh_bytes())
    env_ref = await _environment(stores, program=artifact)
    row = await completed(stores, registration(env_ref=env_ref))

    await _swept(stores)
    assert await _is_there(stores, artifact)
    await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + 1, ProcessFilter(status="any", identity_kind=row.identity.kind)
    )
    await _swept(stores)
    await _swept(stores)

    assert not await _is_there(stores, env_ref)
    assert not await _is_there(stores, artifact)


async def what_the_head_of_a_live_session_names_stays(stores: SweepStores) -> None:
    """Until the session is deleted."""
    ref, session_id = await stores.artifacts.put_artifact(fresh_bytes()), unique("session")
    policy = SessionPolicy(prompt={"layer": ref})
    await stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id, policy=policy))

    await _swept(stores)
    assert await _is_there(stores, ref)
    await stores.session_store_factory.delete_session(session_id)
    await _swept(stores)

    assert not await _is_there(stores, ref)


async def what_a_subscription_starts_with_stays(stores: SweepStores) -> None:
    """Its environment is there at the next occurrence, however long that takes."""
    env_ref = await _environment(stores)
    target = TriggerTarget("job", env_ref=env_ref)
    definition = TriggerDefinition("webhook", unique("source"), target)
    await stores.triggers.apply_trigger_command(
        RegisterTrigger(
            owner_scope=TriggerOwnerScope.host(),
            operation_id=unique("operation"),
            subscription_key=unique("key"),
            definition=definition,
        )
    )

    await _swept(stores)

    assert await _is_there(stores, env_ref)


async def a_committed_reference_keeps_its_attachment(stores: SweepStores) -> None:
    """Until it is dropped; the reference of another session is as good."""
    turn, data = AttachmentOwner.turn("turn-1"), fresh_bytes()
    mine, other = _facade(stores, unique("session"), turn), _facade(stores, unique("other"), turn)
    ref = await mine.put(data)
    await other.put(data)
    await stores.attachment_manifest.commit_refs(mine.session_id, turn)
    await stores.attachment_manifest.commit_refs(other.session_id, turn)

    await _swept(stores)
    assert data == await mine.get(ref.attachment_id)
    await mine.delete(ref.attachment_id)
    await _swept(stores)
    assert data == await other.get(ref.attachment_id)
    await other.delete(ref.attachment_id)
    await _swept(stores)

    assert not await _is_there(stores, ref.attachment_id)


async def an_old_intent_of_a_turn_waits_for_a_later_turn(stores: SweepStores) -> None:
    """As long as its turn may still commit it counts, however old; when another turn has committed it does not."""
    mine = _facade(stores, unique("session"), AttachmentOwner.turn("turn-1"))
    ref = await mine.put(fresh_bytes())

    await _swept(stores)
    assert await _is_there(stores, ref.attachment_id)
    await stores.attachment_manifest.commit_refs(mine.session_id, AttachmentOwner.turn("turn-2"))
    await _swept(stores)

    assert not await _is_there(stores, ref.attachment_id)


async def a_turn_that_committed_before_is_no_later_turn(stores: SweepStores) -> None:
    """Only what commits after the intent proves that its turn is over."""
    session_id = unique("session")
    first = AttachmentOwner.turn("turn-1")
    await _facade(stores, session_id, first).put(fresh_bytes())
    await stores.attachment_manifest.commit_refs(session_id, first)
    await elapse(stores, 10)
    ref = await _facade(stores, session_id, AttachmentOwner.turn("turn-2")).put(fresh_bytes())

    await _swept(stores)

    assert await _is_there(stores, ref.attachment_id)


async def a_young_intent_of_a_dead_turn_stays(stores: SweepStores) -> None:
    """The grace covers what the owner does not."""
    mine = _facade(stores, unique("session"), AttachmentOwner.turn("turn-1"))
    data = fresh_bytes()
    ref = await mine.put(data)
    await elapse(stores, GRACE_MS + 100)
    await mine.put(data)
    await elapse(stores, 10)
    await stores.attachment_manifest.commit_refs(mine.session_id, AttachmentOwner.turn("turn-2"))

    await _sweep(stores).run_pass()

    assert await _is_there(stores, ref.attachment_id)


async def what_a_process_brought_in_stays_until_it_is_pruned(stores: SweepStores) -> None:
    """Its row counts, running or ended; an owner without a row counts no more."""
    row = await completed(stores)
    mine = SessionAttachments.of_process(row.id, stores.attachments, stores.attachment_manifest)
    ref = await mine.put(fresh_bytes())
    unknown = SessionAttachments.of_process(unique("never"), stores.attachments, stores.attachment_manifest)
    lost = await unknown.put(fresh_bytes())

    await _swept(stores)
    assert await _is_there(stores, ref.attachment_id)
    assert not await _is_there(stores, lost.attachment_id)
    await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + 1, ProcessFilter(status="any", identity_kind=row.identity.kind)
    )
    assert () == await mine.refs()
    await _swept(stores)

    assert not await _is_there(stores, ref.attachment_id)


async def an_intent_without_owner_goes_by_its_age(stores: SweepStores) -> None:
    """Nobody can commit it any more once it is older than the grace."""
    mine = _facade(stores, unique("session"))
    ref = await mine.put(fresh_bytes())

    await _sweep(stores).run_pass()
    assert await _is_there(stores, ref.attachment_id)
    await _swept(stores)

    assert not await _is_there(stores, ref.attachment_id)


async def a_deleted_session_keeps_nothing(stores: SweepStores) -> None:
    """Its references go with it, committed ones too."""
    turn = AttachmentOwner.turn("turn-1")
    mine = _facade(stores, unique("session"), turn)
    ref = await mine.put(fresh_bytes())
    await stores.attachment_manifest.commit_refs(mine.session_id, turn)

    await stores.session_store_factory.delete_session(mine.session_id)
    await _swept(stores)

    assert not await _is_there(stores, ref.attachment_id)


async def sweeps_side_by_side_are_harmless(stores: SweepStores) -> None:
    """Everything unnamed goes once, and everything named stays."""
    named = await _environment(stores)
    await stores.process_registry.register_process(registration(env_ref=named))
    unnamed = [await stores.artifacts.put_artifact(fresh_bytes()) for _ in range(10)]
    await elapse(stores, GRACE_MS + 100)

    reports = await asyncio.gather(*(_sweep(stores).run_pass() for _ in range(3)))

    assert sum(report.deleted for report in reports) >= 10
    assert [] == [failure for report in reports for failure in report.failures]
    assert [False] * 10 == [await _is_there(stores, ref) for ref in unnamed]
    assert await _is_there(stores, named)


async def what_is_put_during_a_sweep_stays(stores: SweepStores) -> None:
    """A put after the sweep has seen the old bytes makes them new ones."""
    data = fresh_bytes()
    ref = await stores.artifacts.put_artifact(data)
    await elapse(stores, GRACE_MS + 100)
    sweep = _sweep(stores)
    await sweep.step()

    await stores.artifacts.put_artifact(data)
    report = await sweep.run_pass()

    assert data == await stores.artifacts.get_artifact(ref)
    assert report.put_meanwhile >= 1


async def what_a_row_names_during_a_sweep_stays(stores: SweepStores) -> None:
    """A start whose environment nobody put again: the walk has passed, and the registration has refreshed its age."""
    env_ref = await _environment(stores)
    await elapse(stores, GRACE_MS + 100)
    sweep = _sweep(stores)
    await sweep.step()

    if await can_advance(stores):
        await stores.process_registry.register_process(registration(env_ref=env_ref))
        await sweep.run_pass()

        assert await _is_there(stores, env_ref)


async def what_a_session_refers_to_during_a_sweep_stays(stores: SweepStores) -> None:
    """By a put of the same bytes, and by adopting those of another session that drops them."""
    data, other = fresh_bytes(), fresh_bytes()
    ref = await stores.attachments.put(data)
    adopted = await stores.attachments.put(other)
    await elapse(stores, GRACE_MS + 100)
    sweep = _sweep(stores)
    await sweep.step()

    mine = _facade(stores, unique("session"))
    await mine.put(data)
    await mine.adopt(adopted.attachment_id)
    await sweep.run_pass()

    assert data == await mine.get(ref.attachment_id)
    assert other == await mine.get(adopted.attachment_id)


async def a_sweep_goes_on_where_it_was(stores: SweepStores) -> None:
    """Step by step it comes to the same end, and the next pass has nothing left to do."""
    refs = [await stores.artifacts.put_artifact(fresh_bytes()) for _ in range(3)]
    await elapse(stores, GRACE_MS + 100)
    sweep = _sweep(stores)

    assert await sweep.step() is None
    assert sweep.is_walking
    report = await sweep.run_pass()

    assert not sweep.is_walking
    assert report.deleted >= 3
    assert [False] * 3 == [await _is_there(stores, ref) for ref in refs]
    assert 0 == (await sweep.run_pass()).deleted


class _Failing:
    """A backend that cannot delete one attachment."""

    def __init__(self, inner: SweptContent, ref: str) -> None:
        self._inner = inner
        self._ref = ref

    @property
    def family(self) -> str:
        return self._inner.family

    async def list_stored(self, cursor: str | None = None, limit: int = 100, *, min_age_ms: int = 0) -> ContentPage:
        return await self._inner.list_stored(cursor, limit, min_age_ms=min_age_ms)

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        if stored.ref == self._ref:
            raise StoreRefusedError("disk full", field="test", value="test")
        return await self._inner.delete_unchanged(stored)


async def a_failure_is_recorded_and_the_reclaim_goes_on(stores: SweepStores) -> None:
    """The report names what stayed and why; the next reclaim tries it again."""
    refs = [(await stores.attachments.put(fresh_bytes())).attachment_id for _ in range(4)]
    kept = _facade(stores, unique("session"), AttachmentOwner.turn("turn-1"))
    held = await kept.put(fresh_bytes())
    await elapse(stores, GRACE_MS + 100)
    registry = stores.process_registry
    roots = AttachmentRoots(stores.attachment_manifest, registry)
    broken = _Failing(stores.attachments, refs[1])

    report = await reclaim_unreferenced_attachments(roots, broken, GRACE_MS, now_ms=registry.server_time_ms)

    assert [refs[1]] == [failure.ref for failure in report.failures]
    assert [False, True, False, False] == [await _is_there(stores, ref) for ref in refs]
    assert await kept.get(held.attachment_id)
    again = await reclaim_unreferenced_attachments(roots, stores.attachments, GRACE_MS, now_ms=registry.server_time_ms)
    assert (1, []) == (again.deleted, again.failures)
    assert again.kept >= 1


async def a_reclaim_without_grace_takes_what_nobody_refers_to(stores: SweepStores) -> None:
    """Age protects nothing then; a committed reference does."""
    turn = AttachmentOwner.turn("turn-1")
    mine = _facade(stores, unique("session"), turn)
    ref = await mine.put(fresh_bytes())
    await stores.attachment_manifest.commit_refs(mine.session_id, turn)
    loose = await stores.attachments.put(fresh_bytes())
    registry = stores.process_registry
    roots = AttachmentRoots(stores.attachment_manifest, registry)
    await elapse(stores, 5)

    await reclaim_unreferenced_attachments(roots, stores.attachments, 0, now_ms=registry.server_time_ms)

    assert await _is_there(stores, ref.attachment_id)
    assert not await _is_there(stores, loose.attachment_id)
