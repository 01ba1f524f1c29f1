"""A turn is cancelled from any program: the open one, or one by its id."""

from __future__ import annotations

import pytest

from lash_core.client import LashClient
from lash_core.errors import UnknownSessionError
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.store.turn_journal import OpenTurn
from tests.client.session_turns import OWNER


async def test_the_open_turn_is_cancelled_once(lash: LashClient) -> None:
    """The first request stands, with its reason; without an open turn there is nothing to cancel."""
    session = lash.session("chat")
    with pytest.raises(UnknownSessionError):
        await session.cancel_turn()
    await session.create()
    assert ("no_turn", None) == ((receipt := await session.cancel_turn()).outcome, receipt.turn_id)

    store = await session._store()
    taken = await store.try_claim_session_execution_lease("chat", OWNER, 30_000)
    assert isinstance(taken, SessionLeaseAcquired)
    await store.open_turn(taken.lease.fence, OpenTurn("t_1"))
    first = await session.cancel_turn(reason="enough", request_id="r1")
    second = await session.cancel_turn("t_1", reason="too late")
    assert ("requested", "already_requested") == (first.outcome, second.outcome)
    for receipt in (first, second):
        assert receipt.receipt is not None
        assert receipt.receipt.evidence is not None
        assert ("t_1", "r1", "enough") == (
            receipt.turn_id,
            receipt.receipt.evidence.request_id,
            receipt.receipt.evidence.reason,
        )
