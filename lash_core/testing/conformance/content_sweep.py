"""The conformance suite of the sweep of stored content (``docs/contracts/attachments.md`` 5 and 6).

Sweeps look at everything that a set of stores holds: run these cases on stores of their own, one at a time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lash_core.model.attachment import AttachmentOwner
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessInput
from lash_core.model.session import ModelSpec, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerTarget
from lash_core.model.trigger_command import RegisterTrigger
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.testing.conformance import content_sweep_races
from lash_core.testing.conformance.content_cases import fresh_bytes
from lash_core.testing.conformance.process_registry.arrange import completed, registration, unique
from lash_core.testing.conformance.stores import elapse
from lash_core.testing.conformance.suite import AnyCase, cases_of
from lash_core.testing.conformance.sweep_scene import (
    GRACE_MS,
    SweepStores,
    environment,
    facade,
    is_there,
    sweep_of,
    swept,
)


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(<module>.<function>, function)``: of this module and of ``content_sweep_races``."""
    return cases_of((sys.modules[__name__], content_sweep_races))


async def what_nobody_names_goes(stores: SweepStores) -> None:
    """Environments, artifacts and attachments alike; the empty environment stays for ever."""
    refs = [
        await environment(stores),
        await stores.artifacts.put_artifact(fresh_bytes()),
        (await stores.attachments.put(fresh_bytes())).attachment_id,
    ]

    report = await swept(stores)

    assert [False] * 3 == [await is_there(stores, ref) for ref in refs]
    assert report.deleted >= 3
    assert [] == report.failures
    assert await stores.env_store.get(EMPTY_ENV_REF) is not None


async def what_was_put_lately_stays(stores: SweepStores) -> None:
    """Whoever put it has the time of the grace to name it; a second put starts it again."""
    artifact = fresh_bytes()
    old = await stores.artifacts.put_artifact(artifact)
    await elapse(stores, GRACE_MS + 100)
    await stores.artifacts.put_artifact(artifact)
    young = await environment(stores)

    await sweep_of(stores).run_pass()

    assert await is_there(stores, old)
    assert await is_there(stores, young)


async def the_environment_of_a_row_stays_until_it_is_pruned(stores: SweepStores) -> None:
    """Running or ended: as long as the row can be read, so can its environment."""
    running, ended = await environment(stores), await environment(stores)
    await stores.process_registry.register_process(registration(env_ref=running))
    row = await completed(stores, registration(env_ref=ended))

    await swept(stores)
    assert await is_there(stores, running)
    assert await is_there(stores, ended)
    await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + 1, ProcessFilter(status="any", identity_kind=row.identity.kind)
    )
    await swept(stores)

    assert await is_there(stores, running)
    assert not await is_there(stores, ended)


async def content_that_a_payload_names_stays(stores: SweepStores) -> None:
    """An engine finds its program again, whatever its payload is made of."""
    ref = await stores.artifacts.put_artifact(fresh_bytes())
    program = ProcessInput.engine("conformance.work", {"deep": [{"program": ref}]})
    await stores.process_registry.register_process(registration(input=program))

    await swept(stores)

    assert await is_there(stores, ref)


async def artifacts_of_a_stored_environment_stay(stores: SweepStores) -> None:
    """As long as the environment is there; one pass later they may go too."""
    artifact = await stores.artifacts.put_artifact(fresh_bytes())
    env_ref = await environment(stores, program=artifact)
    row = await completed(stores, registration(env_ref=env_ref))

    await swept(stores)
    assert await is_there(stores, artifact)
    await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + 1, ProcessFilter(status="any", identity_kind=row.identity.kind)
    )
    await swept(stores)
    await swept(stores)

    assert not await is_there(stores, env_ref)
    assert not await is_there(stores, artifact)


async def what_the_head_of_a_live_session_names_stays(stores: SweepStores) -> None:
    """Until the session is deleted."""
    ref, session_id = await stores.artifacts.put_artifact(fresh_bytes()), unique("session")
    policy = SessionPolicy(model=ModelSpec("model-1"), prompt={"layer": ref})
    store = await stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id, policy=policy))
    await (await EmbeddedRuntimeBuilder(policy=policy).with_store(store).build()).park()

    await swept(stores)
    assert await is_there(stores, ref)
    await stores.session_store_factory.delete_session(session_id)
    await swept(stores)

    assert not await is_there(stores, ref)


async def what_a_subscription_starts_with_stays(stores: SweepStores) -> None:
    """Its environment is there at the next occurrence, however long that takes."""
    env_ref = await environment(stores)
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

    await swept(stores)

    assert await is_there(stores, env_ref)


async def a_committed_reference_keeps_its_attachment(stores: SweepStores) -> None:
    """Until it is dropped; the reference of another session is as good."""
    turn, data = AttachmentOwner.turn("turn-1"), fresh_bytes()
    mine, other = facade(stores, unique("session"), turn), facade(stores, unique("other"), turn)
    ref = await mine.put(data)
    await other.put(data)
    await stores.attachment_manifest.commit_refs(mine.session_id, turn)
    await stores.attachment_manifest.commit_refs(other.session_id, turn)

    await swept(stores)
    assert data == await mine.get(ref.attachment_id)
    await mine.delete(ref.attachment_id)
    await swept(stores)
    assert data == await other.get(ref.attachment_id)
    await other.delete(ref.attachment_id)
    await swept(stores)

    assert not await is_there(stores, ref.attachment_id)


async def an_old_intent_of_a_turn_waits_for_a_later_turn(stores: SweepStores) -> None:
    """As long as its turn may still commit it counts, however old; when another turn has committed it does not."""
    mine = facade(stores, unique("session"), AttachmentOwner.turn("turn-1"))
    ref = await mine.put(fresh_bytes())

    await swept(stores)
    assert await is_there(stores, ref.attachment_id)
    await stores.attachment_manifest.commit_refs(mine.session_id, AttachmentOwner.turn("turn-2"))
    await swept(stores)

    assert not await is_there(stores, ref.attachment_id)


async def a_turn_that_committed_before_is_no_later_turn(stores: SweepStores) -> None:
    """Only what commits after the intent proves that its turn is over."""
    session_id = unique("session")
    first = AttachmentOwner.turn("turn-1")
    await facade(stores, session_id, first).put(fresh_bytes())
    await stores.attachment_manifest.commit_refs(session_id, first)
    await elapse(stores, 10)
    ref = await facade(stores, session_id, AttachmentOwner.turn("turn-2")).put(fresh_bytes())

    await swept(stores)

    assert await is_there(stores, ref.attachment_id)


async def a_young_intent_of_a_dead_turn_stays(stores: SweepStores) -> None:
    """The grace covers what the owner does not."""
    mine = facade(stores, unique("session"), AttachmentOwner.turn("turn-1"))
    data = fresh_bytes()
    ref = await mine.put(data)
    await elapse(stores, GRACE_MS + 100)
    await mine.put(data)
    await elapse(stores, 10)
    await stores.attachment_manifest.commit_refs(mine.session_id, AttachmentOwner.turn("turn-2"))

    await sweep_of(stores).run_pass()

    assert await is_there(stores, ref.attachment_id)


async def what_a_process_brought_in_stays_until_it_is_pruned(stores: SweepStores) -> None:
    """Its row counts, running or ended; an owner without a row counts no more."""
    row = await completed(stores)
    mine = SessionAttachments.of_process(row.id, stores.attachments, stores.attachment_manifest)
    ref = await mine.put(fresh_bytes())
    unknown = SessionAttachments.of_process(unique("never"), stores.attachments, stores.attachment_manifest)
    lost = await unknown.put(fresh_bytes())

    await swept(stores)
    assert await is_there(stores, ref.attachment_id)
    assert not await is_there(stores, lost.attachment_id)
    await stores.process_registry.prune_terminal_processes(
        await stores.process_registry.server_time_ms() + 1, ProcessFilter(status="any", identity_kind=row.identity.kind)
    )
    assert () == await mine.refs()
    await swept(stores)

    assert not await is_there(stores, ref.attachment_id)


async def an_intent_without_owner_goes_by_its_age(stores: SweepStores) -> None:
    """Nobody can commit it any more once it is older than the grace."""
    mine = facade(stores, unique("session"))
    ref = await mine.put(fresh_bytes())

    await sweep_of(stores).run_pass()
    assert await is_there(stores, ref.attachment_id)
    await swept(stores)

    assert not await is_there(stores, ref.attachment_id)


async def a_deleted_session_keeps_nothing(stores: SweepStores) -> None:
    """Its references go with it, committed ones too."""
    turn = AttachmentOwner.turn("turn-1")
    mine = facade(stores, unique("session"), turn)
    ref = await mine.put(fresh_bytes())
    await stores.attachment_manifest.commit_refs(mine.session_id, turn)

    await stores.session_store_factory.delete_session(mine.session_id)
    await swept(stores)

    assert not await is_there(stores, ref.attachment_id)
