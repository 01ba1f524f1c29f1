"""``enqueue_pending_turn_input``: an input waits in the lane, once per source key or id.

``docs/contracts/sessions.md`` 2.5.
"""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, LimitExceededError, UnknownSessionError
from lash_core.errors.session import PendingTurnInputSourceKeyConflictError, SessionBindingMismatchError
from lash_core.model.turn_input import ActiveTurnIngress, NextTurnIngress, TextInput, TurnInput, TurnInputCancelTarget
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    commit_of,
    committed,
    factory_of,
    input_draft,
    leased,
    opened,
    put_in,
)


async def an_input_is_stored_as_it_was_drafted(stores: SessionStores) -> None:
    """For the next turn it starts as deferred, for a running one as pending; nobody has claimed it."""
    store = await opened(stores)
    value = TurnInput((TextInput("é\n;"), TextInput("b")), protocol_turn_options={"n": [1]}, trace_turn_id="t9")

    later = await put_in(store, input=value, source_key="k;1")
    now = await put_in(store, "x", ActiveTurnIngress("t;1", "before_completion"))

    assert ("deferred_next_turn", value, "k;1", None) == (later.state, later.input, later.source_key, later.claim)
    assert ("pending_active", ActiveTurnIngress("t;1", "before_completion")) == (now.state, now.ingress)
    assert later.enqueue_seq < now.enqueue_seq
    assert later.enqueued_at_ms > 0
    assert (later, now) == await store.list_pending_turn_inputs(store.session_id)


async def a_repeat_answers_the_row_there_is(stores: SessionStores) -> None:
    """Same source key or same id, same content and ingress: the row, and nothing is enqueued."""
    store = await opened(stores)
    by_key = await put_in(store, source_key="k")
    by_id = await put_in(store, input_id="my-input")

    assert by_key == await put_in(store, source_key="k")
    assert by_id == await put_in(store, input_id="my-input")

    assert "my-input" == by_id.input_id
    assert (by_key, by_id) == await store.list_pending_turn_inputs(store.session_id)


async def other_content_or_ingress_is_a_conflict(stores: SessionStores) -> None:
    """It names the input that the key stands for."""
    store = await opened(stores)
    row = await put_in(store, "one", source_key="k", input_id=unique("input"))
    drafts = (
        input_draft(store.session_id, "two", source_key="k"),
        input_draft(store.session_id, "one", ActiveTurnIngress("t"), source_key="k"),
        input_draft(store.session_id, "two", input_id=row.input_id),
    )

    for other in drafts:
        with refused(PendingTurnInputSourceKeyConflictError, row.input_id) as refusal:
            await store.enqueue_pending_turn_input(other)
        assert row.input_id == refusal.error.existing_input_id

    assert (row,) == await store.list_pending_turn_inputs(store.session_id)


async def a_terminal_row_answers_a_repeat(stores: SessionStores) -> None:
    """Cancelled and completed rows stay until vacuum, as evidence."""
    store = await opened(stores)
    done, dropped = await put_in(store, source_key="done"), await put_in(store, source_key="dropped")
    await store.cancel_pending_turn_inputs(store.session_id, [TurnInputCancelTarget(input_id=dropped.input_id)])
    lease = await leased(store)
    claim = await store.claim_next_turn_inputs(lease.fence)
    assert claim is not None
    await committed(store, lease, completed_turn_input_claims=(claim.completion,))

    states = [(await put_in(store, source_key=key)).state for key in ("done", "dropped")]

    assert ["completed", "cancelled"] == states
    assert 2 == len(await store.list_pending_turn_inputs(store.session_id))
    assert done.input_id != dropped.input_id


async def a_repeat_after_a_deferral_is_the_same(stores: SessionStores) -> None:
    """What a draft was enqueued with counts, not where the row has got to."""
    store = await opened(stores)
    row = await put_in(store, "x", ActiveTurnIngress("t"), source_key="k")
    await committed(store, interrupted_turn_input_turn_id="t")

    again = await put_in(store, "x", ActiveTurnIngress("t"), source_key="k")

    assert (row.input_id, "deferred_next_turn") == (again.input_id, again.state)


async def an_input_that_comes_after_its_turn_goes_to_the_next(stores: SessionStores) -> None:
    """Its sender could not know that the turn had been committed; nobody would ever claim it."""
    store = await opened(stores)
    lease = await leased(store)
    await store.commit_runtime_state(commit_of(store, lease).stamped("t"))

    row = await put_in(store, "late", ActiveTurnIngress("t"), source_key="k")

    assert ("deferred_next_turn", NextTurnIngress()) == (row.state, row.ingress)
    assert row == await put_in(store, "late", ActiveTurnIngress("t"), source_key="k")
    claim = await store.claim_next_turn_inputs(lease.fence)
    assert claim is not None
    assert [row.input_id] == [one.input_id for one in claim.inputs]


async def live_parts_are_refused(stores: SessionStores) -> None:
    """They end with the turn that they were made for."""
    store = await opened(stores)

    for live in ({"protocol_extension": object()}, {"turn_context": object()}):
        with refused(InvalidArgumentError):
            await put_in(store, input=TurnInput.text("hi").model_copy(update=live))

    assert () == await store.list_pending_turn_inputs(store.session_id)


async def text_that_no_store_can_keep_is_refused(stores: SessionStores) -> None:
    """A lone surrogate in the id of the turn that it is for, or in the source key."""
    store = await opened(stores)

    with refused(InvalidArgumentError):
        await put_in(store, "hi", ActiveTurnIngress("\ud800"))
    with refused(InvalidArgumentError):
        await put_in(store, "hi", source_key="\ud800")

    assert () == await store.list_pending_turn_inputs(store.session_id)


async def an_input_over_the_limit_is_refused(stores: SessionStores) -> None:
    """256 KB."""
    store = await opened(stores)

    with refused(LimitExceededError, str(256 * 1024)):
        await put_in(store, "x" * 256 * 1024)

    assert () == await store.list_pending_turn_inputs(store.session_id)


async def another_session_and_a_gone_one_are_refused(stores: SessionStores) -> None:
    """A store is bound to one session; a deleted one has no lane."""
    store, other = await opened(stores), await opened(stores)
    with refused(SessionBindingMismatchError, other.session_id):
        await store.enqueue_pending_turn_input(input_draft(other.session_id))
    with refused(SessionBindingMismatchError, other.session_id):
        await store.list_pending_turn_inputs(other.session_id)
    await factory_of(stores).delete_session(store.session_id)

    with refused(UnknownSessionError, store.session_id):
        await put_in(store)

    assert () == await store.list_pending_turn_inputs(store.session_id)
