"""``list_sessions``: pages over all sessions; none is left out (``docs/contracts/sessions.md`` 2.6)."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, InvalidCursorError
from lash_core.model.session import ModelSpec
from lash_core.model.session_commit import PersistedSessionConfig
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    POLICY,
    SessionStores,
    committed,
    enqueued,
    factory_of,
    leased,
    opened,
)

PAGES_MAX = 5_000


async def a_line_says_what_is_known(stores: SessionStores) -> None:
    """Meta, head revision, what is queued, who holds it."""
    store = await opened(stores)
    for _ in range(2):
        await committed(store)
        await enqueued(store)
    lease = await leased(store)

    line = (await _all(stores))[store.session_id]

    meta = await store.load_session_meta()
    assert meta is not None
    assert (meta.session_name, meta.model, meta.created_at_ms) == (line.session_name, line.model, line.created_at_ms)
    assert (2, 2, lease.owner.owner_id) == (line.head_revision, line.queued, line.lease_owner_id)


async def the_model_is_that_of_the_last_commit(stores: SessionStores) -> None:
    """A session that was made without one, or went on with another, shows what it runs with."""
    store = await opened(stores)
    policy = POLICY.model_copy(update={"model": ModelSpec("model-2")})
    await committed(store, config=PersistedSessionConfig.of_policy(policy))

    assert "model-2" == (await _all(stores))[store.session_id].model


async def a_fresh_session_is_listed(stores: SessionStores) -> None:
    """Without a head, without a queue, without a holder; a deleted one is not."""
    store, gone = await opened(stores), await opened(stores)
    await factory_of(stores).delete_session(gone.session_id)

    lines = await _all(stores)

    line = lines[store.session_id]
    assert (0, 0, None) == (line.head_revision, line.queued, line.lease_owner_id)
    assert gone.session_id not in lines


async def pages_leave_no_session_out(stores: SessionStores) -> None:
    """However small they are."""
    wanted = {(await opened(stores)).session_id for _ in range(7)}

    assert wanted <= set(await _all(stores, limit=2))


async def a_page_has_a_size_and_a_cursor_of_its_own(stores: SessionStores) -> None:
    """What is neither is refused; nothing is guessed."""
    factory = factory_of(stores)
    for limit in (0, -1, 1_000_000):
        with refused(InvalidArgumentError, "limit"):
            await factory.list_sessions(limit=limit)
    with refused(InvalidCursorError, "no cursor"):
        await factory.list_sessions("no cursor")


async def _all(stores: SessionStores, *, limit: int = 100) -> dict[str, SessionSummary]:
    found: dict[str, SessionSummary] = {}
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        lines, cursor = await factory_of(stores).list_sessions(cursor, limit)
        found |= {line.session_id: line for line in lines}
        if cursor is None:
            return found
    raise AssertionError(f"the listing did not end within {PAGES_MAX} pages")
