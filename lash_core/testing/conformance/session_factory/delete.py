"""``delete_session``: nothing of a session is left, but its fences.

``docs/contracts/sessions.md`` 2.6; decision 9; docs/adr/0166.
"""

from __future__ import annotations

from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.attachment import AttachmentOwner, AttachmentOwnerKind
from lash_core.model.await_event import Accepted, Resolution, UnknownOrRevoked
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.session_commit import CheckpointDraft
from lash_core.model.turn_input import ActiveTurnIngress
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import content_ref, digest_of
from lash_core.testing.conformance.await_events.arrange import key_of
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    appending,
    commit_of,
    committed,
    enqueued,
    factory_of,
    leased,
    loaded,
    opened,
    put_in,
)


async def nothing_of_it_is_left(stores: SessionStores) -> None:
    """Head, nodes, usage, queue, inputs, lease, stamps: a session of the same name starts with nothing."""
    store = await opened(stores)
    await enqueued(store, source_key="k")
    await put_in(store, source_key="k")
    await put_in(store, "x", ActiveTurnIngress("t"))
    lease = await leased(store)
    commit = commit_of(
        store,
        lease,
        graph=appending("a"),
        checkpoint=CheckpointDraft(execution_state={"n": 1}),
        usage_deltas=(TokenLedgerEntry("turn", "m", TokenUsage(input=1)),),
    )
    await store.commit_runtime_state(commit.stamped("t"))
    await store.tombstone_nodes(["a"])

    await factory_of(stores).delete_session(store.session_id)

    assert await factory_of(stores).open_existing_store(store.session_id) is None
    assert await store.load_session() is None
    again = await opened(stores, store.session_id)
    assert await again.load_session() is None
    assert await again.get_session_execution_lease(again.session_id) is None
    assert () == await again.list_queued_work(again.session_id)
    assert () == await again.list_pending_turn_inputs(again.session_id)
    result = await committed(again, expected_head_revision=0, graph=appending("a"))
    read = await loaded(again)
    assert (1, 1, ["a"], ()) == (
        result.head_revision,
        read.head_revision,
        [node.node_id for node in read.nodes],
        read.token_ledger,
    )


async def source_keys_are_free_again(stores: SessionStores) -> None:
    """Of both lanes, settled or not."""
    store = await opened(stores)
    queued, row = await enqueued(store, source_key="k"), await put_in(store, source_key="k")
    await factory_of(stores).delete_session(store.session_id)
    again = await opened(stores, store.session_id)

    batch, other = await enqueued(again, "new", source_key="k"), await put_in(again, "new", source_key="k")

    assert (batch,) == await again.list_queued_work(again.session_id)
    assert (batch.batch_id != queued.batch_id, other.input_id != row.input_id) == (True, True)


async def a_repeat_and_an_unknown_one_are_nothing(stores: SessionStores) -> None:
    """No error."""
    store = await opened(stores)

    for session_id in (store.session_id, store.session_id, unique("absent")):
        await factory_of(stores).delete_session(session_id)

    assert await factory_of(stores).open_existing_store(store.session_id) is None


async def other_sessions_stay(stores: SessionStores) -> None:
    """Also those whose names begin the same."""
    store = await opened(stores)
    others = [await opened(stores, store.session_id + suffix) for suffix in (":a", "x")]
    for other in others:
        await committed(other, graph=appending("a"))
        await enqueued(other)

    await factory_of(stores).delete_session(store.session_id)

    for other in others:
        assert ["a"] == [node.node_id for node in (await loaded(other)).nodes]
        assert 1 == len(await other.list_queued_work(other.session_id))


async def its_promises_are_refused(stores: SessionStores) -> None:
    """Until a session of the name is made again, which has promises of its own."""
    store, promises = await opened(stores), _any(stores).promises
    key = key_of(ExecutionScope.turn(store.session_id, "t"), "p")
    assert isinstance(await promises.resolve_promise(key, Resolution.ok(1)), Accepted)

    await factory_of(stores).delete_session(store.session_id)

    assert isinstance(await promises.resolve_promise(key, Resolution.ok(2)), UnknownOrRevoked)
    with refused(RuntimeFailure):
        await promises.peek_promise(key)
    await opened(stores, store.session_id)
    assert await promises.peek_promise(key) is None
    assert isinstance(await promises.resolve_promise(key, Resolution.ok(3)), Accepted)


async def its_attachments_are_let_go(stores: SessionStores) -> None:
    """Nothing refers to them any more, unless another session does."""
    one, two, manifest = await opened(stores), await opened(stores), _any(stores).attachment_manifest
    factory = factory_of(stores)
    mine, shared = (content_ref(ATTACHMENT_FAMILY, unique("bytes").encode()) for _ in range(2))
    for store, attachment_id in ((one, mine), (one, shared), (two, shared)):
        await manifest.record_intent(store.session_id, attachment_id)

    await factory.delete_session(one.session_id)

    assert () == await manifest.list_refs(one.session_id)
    assert not await factory.has_live_attachment_ref(_digest(mine))
    assert await factory.has_live_attachment_ref(_digest(shared))


async def committed_attachments_and_young_intents_are_live(stores: SessionStores) -> None:
    """An old intent is not; a commit stamp keeps it for good."""
    store, manifest, factory = await opened(stores), _any(stores).attachment_manifest, factory_of(stores)
    kept, intended = (content_ref(ATTACHMENT_FAMILY, unique("bytes").encode()) for _ in range(2))
    for attachment_id, turn_id in ((kept, "t"), (intended, "u")):
        owner = AttachmentOwner(AttachmentOwnerKind.TURN, turn_id)
        await manifest.record_intent(store.session_id, attachment_id, owner=owner)
    await store.commit_runtime_state(commit_of(store, await leased(store)).stamped("t"))

    young, old = await factory.live_attachment_refs(0), await factory.live_attachment_refs(2**52)

    assert {_digest(kept), _digest(intended)} <= young
    assert _digest(kept) in old
    assert _digest(intended) not in old


def _digest(attachment_id: str) -> str:
    return digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id")


def _any(stores: Any) -> Any:
    return stores
