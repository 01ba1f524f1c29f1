"""``claim_leading_ready_session_command``: a command is done before what came after it, never before.

``docs/contracts/sessions.md`` 2.4.
"""

from __future__ import annotations

from lash_core.model.queued_work import SessionCommandPayload, session_command_draft
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    claimed,
    command_draft,
    enqueued,
    ids_of,
    leased,
    opened,
    taken_over,
)


async def the_leading_command_comes_alone(stores: SessionStores) -> None:
    """Exactly one, even when the next row is a command too."""
    store = await opened(stores)
    rows = [await store.enqueue_queued_work(command_draft(store.session_id, key)) for key in ("a", "b")]
    await enqueued(store)
    lease = await leased(store)

    claims = [await store.claim_leading_ready_session_command(lease.fence) for _ in range(3)]

    assert [[rows[0].batch_id], [rows[1].batch_id], []] == [ids_of(claim) for claim in claims]


async def a_command_behind_turn_work_waits(stores: SessionStores) -> None:
    """It never jumps ahead of an earlier turn; what is not due yet does not lead."""
    store = await opened(stores)
    work = await enqueued(store)
    reset = session_command_draft(store.session_id, SessionCommandPayload(command="reset_session", reason="x"), "k")
    command = await store.enqueue_queued_work(reset)
    await enqueued(store, "far", available_at_ms=2**45)
    lease = await leased(store)
    assert await store.claim_leading_ready_session_command(lease.fence) is None

    assert [work.batch_id] == ids_of(await claimed(store, lease))

    assert [command.batch_id] == ids_of(await store.claim_leading_ready_session_command(lease.fence))


async def a_command_of_an_older_generation_is_taken_again(stores: SessionStores) -> None:
    """Its owner may have died in it."""
    store = await opened(stores)
    command = await store.enqueue_queued_work(command_draft(store.session_id))
    lease = await leased(store)
    assert await store.claim_leading_ready_session_command(lease.fence) is not None

    again = await store.claim_leading_ready_session_command((await taken_over(store, lease)).fence)

    assert [command.batch_id] == ids_of(again)


async def an_empty_queue_has_no_command(stores: SessionStores) -> None:
    """None."""
    store = await opened(stores)

    assert await store.claim_leading_ready_session_command((await leased(store)).fence) is None
