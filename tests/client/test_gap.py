"""Following a log that a failover made shorter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lash_core.client_handle import ProcessHandle
from lash_core.errors import UnknownProcessError
from lash_core.model.event import ProcessEvent


class ForgetfulRegistry:
    """Has three events, then two of them are gone, then others come and the process ends."""

    def __init__(self) -> None:
        self.logs = [["a", "b", "c"], ["a"], ["a", "x", "end"]]

    async def events_after(self, process_id: str, sequence: int) -> tuple[ProcessEvent, ...]:
        names = self.logs[0]
        events = tuple(
            ProcessEvent(process_id="p", sequence=index, event_type=name, occurred_at_ms=1)
            for index, name in enumerate(names, start=1)
            if index > sequence
        )
        if len(self.logs) > 1:
            self.logs.pop(0)
        return events

    async def get_process(self, process_id: str) -> Any:
        return SimpleNamespace(last_sequence=len(self.logs[0]), is_terminal=self.logs[0][-1] == "end")

    async def await_terminal(self, process_id: str) -> Any:
        raise UnknownProcessError(process_id)


async def test_lost_events_are_told_and_the_follower_goes_on() -> None:
    """What came in their place is printed too."""
    stores: Any = SimpleNamespace(process_registry=ForgetfulRegistry(), directory=None)
    gaps: list[tuple[int, int]] = []

    events = ProcessHandle(stores, "p").events(follow=True, on_gap=lambda seen, last: gaps.append((seen, last)))
    seen = [(event.sequence, event.event_type) async for event in events]

    assert [(3, 1)] == gaps
    assert [(1, "a"), (2, "b"), (3, "c"), (2, "x"), (3, "end")] == seen
