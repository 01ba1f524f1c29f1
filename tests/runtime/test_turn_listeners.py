"""A listener of a turn's activity can neither fail nor end the turn."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.errors import StoreFullError
from lash_core.model.session_observation import SessionProcessEventKind
from lash_core.model.turn_activity import TurnActivity, TurnEvent
from lash_core.runtime.turn_activities import send_turn_activity, tell_turn_begins, tell_turn_committed

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


class FullFollower:
    """A follower whose store has no room."""

    async def __call__(self, activity: TurnActivity) -> None:
        raise StoreFullError("out of memory")

    async def turn_begins(self, turn_id: str, *, generation: int, is_redo: bool) -> None:
        raise StoreFullError("out of memory")

    async def turn_committed(self, turn_id: str) -> None:
        raise StoreFullError("out of memory")

    async def process_changed(self, kind: SessionProcessEventKind, process_id: str) -> None:
        raise StoreFullError("out of memory")


async def test_a_follower_whose_store_fails_is_a_line_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    await tell_turn_begins(FullFollower(), "t", 1, is_redo=True)
    await tell_turn_committed(FullFollower(), "t")

    assert ["WARNING", "WARNING"] == [record.levelname for record in caplog.records]
    assert "out of memory" in caplog.text
    assert "Traceback" not in caplog.text
