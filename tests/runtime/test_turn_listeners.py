"""A listener of a turn's activity can neither fail nor end the turn."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.turn_activities import send_turn_activity

EVENT = TurnEvent("assistant_prose_delta", {"text": "hi"})


@pytest.mark.parametrize("error", [RuntimeError("gone"), asyncio.CancelledError()])
async def test_a_listener_that_ends_itself_is_logged(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    async def end(_activity: TurnActivity) -> None:
        raise error

    await send_turn_activity(end, "c", EVENT)

    assert "found no listener" in caplog.text


async def test_a_turn_that_is_cancelled_while_it_tells_hears_of_it() -> None:
    told = asyncio.Event()

    async def wait(_activity: TurnActivity) -> None:
        told.set()
        await asyncio.Event().wait()

    turn = asyncio.ensure_future(send_turn_activity(wait, "c", EVENT))
    await told.wait()
    turn.cancel()

    with pytest.raises(asyncio.CancelledError):
        await turn
