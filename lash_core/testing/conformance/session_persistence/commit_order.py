"""``commit_runtime_state``: the checks in their order, and nothing half-written.

``docs/contracts/sessions.md`` 2.1.
"""

from __future__ import annotations

from typing import Any

from lash_core.errors import LimitExceededError
from lash_core.errors.session import (
    HeadRevisionConflictError,
    QueuedWorkClaimSupersededError,
    RuntimeTurnCommitConflictError,
    SessionBindingMismatchError,
    SessionExecutionLeaseExpiredError,
    TurnInputClaimSupersededError,
)
from lash_core.model.limits import Limits
from lash_core.model.session_commit import RuntimeCommit
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.store.runtime_persistence import SESSION_NODE_BYTES_MAX, RuntimePersistence
from lash_core.store.session_bounds import SOURCE_KEY_BYTES_MAX
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    appending,
    claimed,
    commit_of,
    committed,
    draft,
    enqueued,
    factory_of,
    leased,
    opened,
    put_in,
    taken_over,
)
from lash_core.testing.conformance.stores import elapse, short_ttl_ms


async def checks_come_in_their_order(stores: SessionStores) -> None:
    """Binding, outbox, stamp, lease, head, queued work, inputs: of all that is wrong the first is said."""
    store, other = await opened(stores), await opened(stores)
    await put_in(store)
    await enqueued(store)
    stale = await leased(store)
    work = await claimed(store, stale)
    inputs = await store.claim_next_turn_inputs(stale.fence)
    assert inputs is not None
    lease = await taken_over(store, stale)
    await claimed(store, lease)
    assert await store.claim_next_turn_inputs(lease.fence) is not None
    done = commit_of(store, lease, graph=appending("a")).stamped("t")
    await store.commit_runtime_state(done)
    good: dict[str, Any] = {
        "session_id": store.session_id,
        "enqueued_queue_batches": (),
        "turn_commit": commit_of(store, lease).stamped("u").turn_commit,
        "session_execution_lease": lease.fence,
        "expected_head_revision": 1,
        "completed_queue_claims": (),
        "completed_turn_input_claims": (),
    }
    wrong: list[tuple[str, Any, type[Exception]]] = [
        ("session_id", other.session_id, SessionBindingMismatchError),
        ("enqueued_queue_batches", (draft(other.session_id),), SessionBindingMismatchError),
        (
            "turn_commit",
            commit_of(store, lease).stamped("t").turn_commit,
            RuntimeTurnCommitConflictError,
        ),
        ("session_execution_lease", stale.fence, SessionExecutionLeaseExpiredError),
        ("expected_head_revision", 7, HeadRevisionConflictError),
        ("completed_queue_claims", (work.completion,), QueuedWorkClaimSupersededError),
        ("completed_turn_input_claims", (inputs.completion,), TurnInputClaimSupersededError),
    ]
    before = await _everything(store)

    for place, (_, _, error) in enumerate(wrong):
        facts = {**good, **{name: value for name, value, _ in wrong[place:]}}
        with refused(error):  # pyright: ignore[reportArgumentType] - every one is a LashError
            await store.commit_runtime_state(RuntimeCommit(**facts, graph=appending("b")))

    assert before == await _everything(store)
    assert 2 == (await store.commit_runtime_state(RuntimeCommit(**good))).head_revision


async def a_lease_is_needed(stores: SessionStores) -> None:
    """A missing, expired, released or forged one is over; nothing is written."""
    store = await opened(stores)
    ttl_ms = await short_ttl_ms(stores)
    expired = await leased(store, ttl_ms=ttl_ms)
    await elapse(stores, ttl_ms + 50)
    commits = [commit_of(store, None), commit_of(store, expired)]
    released = await leased(store)
    held = await taken_over(store, released)
    forged = held.fence.model_copy(update={"lease_token": "0123456789abcdef"})
    older = held.fence.model_copy(update={"fencing_token": released.fencing_token})
    commits += [commit_of(store, released), commit_of(store, held, session_execution_lease=forged)]
    commits += [commit_of(store, held, session_execution_lease=older)]

    for commit in commits:
        with refused(SessionExecutionLeaseExpiredError):
            await store.commit_runtime_state(commit)

    assert await store.load_session() is None


async def a_deleted_session_takes_no_commit(stores: SessionStores) -> None:
    """Its lease went with it; a late commit makes no half session."""
    store = await opened(stores)
    lease = await leased(store)
    await factory_of(stores).delete_session(store.session_id)

    with refused(SessionExecutionLeaseExpiredError):
        await committed(store, lease, graph=appending("a"))

    assert await factory_of(stores).open_existing_store(store.session_id) is None
    with refused(SessionExecutionLeaseExpiredError):
        await committed(await opened(stores, store.session_id), lease)


async def the_head_must_be_the_expected_one(stores: SessionStores) -> None:
    """0 where there is none; no expectation is none. The conflict names both revisions."""
    store = await opened(stores)
    lease = await leased(store)

    with refused(HeadRevisionConflictError, "3", "0") as refusal:
        await committed(store, lease, expected_head_revision=3)
    assert (3, 0) == (refusal.error.expected, refusal.error.actual)
    assert 1 == (await committed(store, lease, expected_head_revision=0)).head_revision
    with refused(HeadRevisionConflictError) as refusal:
        await committed(store, lease, expected_head_revision=0)
    assert (0, 1) == (refusal.error.expected, refusal.error.actual)
    assert 2 == (await committed(store, lease, expected_head_revision=1)).head_revision
    assert 3 == (await committed(store, lease)).head_revision


async def a_refused_commit_changes_nothing(stores: SessionStores) -> None:
    """One claim of several is lost: no head, no node, no usage, no work in or out, and the lease is not given up."""
    store = await opened(stores)
    await put_in(store)
    await enqueued(store, "mine")
    lost = await enqueued(store, "lost", source_key="lost")
    lease = await leased(store)
    good = await claimed(store, lease, max_batches=1)
    gone = await claimed(store, lease)
    await store.abandon_queued_work_claim(gone)
    inputs = await store.claim_next_turn_inputs(lease.fence)
    assert inputs is not None
    before = await _everything(store)

    with refused(QueuedWorkClaimSupersededError, lost.batch_id):
        await committed(
            store,
            lease,
            graph=appending("a"),
            usage_deltas=(TokenLedgerEntry("turn", "m", TokenUsage(input=1)),),
            completed_queue_claims=(good.completion, gone.completion),
            completed_turn_input_claims=(inputs.completion,),
            enqueued_queue_batches=(draft(store.session_id, "out", source_key="out"),),
            interrupted_turn_input_turn_id="t",
            release_session_execution_lease=lease.completion,
        )

    assert before == await _everything(store)


async def a_claim_names_its_own_rows_only(stores: SessionStores) -> None:
    """Another token, another claim's id, a row of another claim, a row that is not there."""
    store = await opened(stores)
    await enqueued(store, "a")
    lease = await leased(store)
    claim = await claimed(store, lease)
    free = await enqueued(store, "free")
    forged = (
        claim.completion.model_copy(update={"lease_token": "0" * 32}),
        claim.completion.model_copy(update={"claim_id": "qwc:1:99"}),
        claim.completion.model_copy(update={"batch_ids": (*claim.completion.batch_ids, free.batch_id)}),
        claim.completion.model_copy(update={"batch_ids": (unique("qwb:absent"),)}),
    )

    for completion in forged:
        with refused(QueuedWorkClaimSupersededError):
            await committed(store, lease, completed_queue_claims=(completion,))

    await committed(store, lease, completed_queue_claims=(claim.completion,))
    assert (free,) == await store.list_queued_work(store.session_id)


async def a_node_over_the_limit_is_refused(stores: SessionStores) -> None:
    """1 MB; it says which, and nothing is written."""
    store = await opened(stores)
    lease = await leased(store)
    large = appending("x" * SESSION_NODE_BYTES_MAX)
    node = large.nodes[0].model_copy(update={"node_id": "large"})

    with refused(LimitExceededError, "large", str(SESSION_NODE_BYTES_MAX)):
        await committed(store, lease, graph=large.model_copy(update={"nodes": (node,), "leaf_node_id": "large"}))

    assert await store.load_session() is None


async def an_outbox_over_the_limit_is_refused(stores: SessionStores) -> None:
    """Work that appears with a commit has the limits of work that is enqueued; nothing is written."""
    store = await opened(stores)
    lease = await leased(store)
    too_much = (
        draft(store.session_id, "x" * Limits().payload_bytes_max),
        draft(store.session_id, source_key="k" * (SOURCE_KEY_BYTES_MAX + 1)),
    )

    for batch in too_much:
        with refused(LimitExceededError):
            await committed(store, lease, enqueued_queue_batches=(draft(store.session_id), batch))

    assert await store.load_session() is None
    assert () == await store.list_queued_work(store.session_id)


async def _everything(store: RuntimePersistence) -> list[Any]:
    """All that a commit could have changed."""
    session_id = store.session_id
    return [
        await store.load_session(),
        await store.list_queued_work(session_id),
        await store.list_pending_queued_work(session_id),
        await store.list_pending_turn_inputs(session_id),
        await store.get_session_execution_lease(session_id),
        await store.find_turn_stamp(session_id, "u"),
        await store.load_open_turn(session_id),
    ]
