"""A session of many turns keeps the promises of the newest only (docs/contracts/turns.md 3)."""

from __future__ import annotations

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.turn_control import TurnAddress, TurnCancelRequest
from lash_core.runtime.turns import old_turns
from lash_core.testing.conformance.turns.arrange import scene_of, words
from lash_core.testing.scripted_provider import says


async def test_promises_of_old_turns_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """In rounds; no turn is passed over, and the newest answer as ever."""
    monkeypatch.setattr(old_turns, "KEPT_TURNS", 4)
    monkeypatch.setattr(old_turns, "FORGET_EVERY_TURNS", 3)
    stores = InMemoryStores()
    scene = scene_of(stores, lambda _request: says("ok"))
    runtime = await scene.runtime()
    for number in range(12):
        await runtime.stream_turn(words("hi"), turn_id=f"t{number}")

    left = {scope.id for scope in stores.process_registry.state.scopes.promises}
    assert {f"t{number}" for number in range(8, 12)} == left
    request = TurnCancelRequest(address=TurnAddress(scene.session_id, "t9"), request_id="r")
    assert "completion_won_race" == (await runtime.request_turn_cancel(request)).outcome
