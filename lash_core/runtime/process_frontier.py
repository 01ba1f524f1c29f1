"""Where a replay ends: a cancel that was there before the run is delivered there, not before (docs/adr/0107)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lash_core.runtime.journaled_run import RunEffects

STILL_SECONDS_MAX = 10.0
"""A function that waits this long for something that is not lash's, with recorded effects it never asked for, gets its
cancel anyway: code may have changed so that it never asks."""


class Frontier:
    """Holds back one cancel until the run asks for something that is not recorded.

    A function whose recorded effects are all answered and that then waits for something else gets it there.
    """

    __slots__ = ("_calls", "_effects", "_fire", "_timer", "_turn")

    def __init__(self, effects: RunEffects) -> None:
        self._effects = effects
        self._fire: Callable[[], None] | None = None
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None

    @property
    def is_holding(self) -> bool:
        """True until the cancel was delivered."""
        return self._fire is not None

    def hold(self, fire: Callable[[], None]) -> None:
        """Call ``fire`` once at the frontier; in the loop's thread."""
        self._fire = fire
        self._effects.on_frontier = self._reached
        self._look_later()

    def enter(self) -> None:
        """A verb of the context begins."""
        self._calls += 1
        self._stop_looking()

    def leave(self) -> None:
        """A verb of the context ended; the function goes on and either asks for the next or waits elsewhere."""
        self._calls -= 1
        if self._calls == 0:
            self._look_later()

    def close(self) -> None:
        """The function is over."""
        self._fire = None
        self._effects.on_frontier = None
        self._stop_looking()

    def _look_later(self) -> None:
        if self._fire is not None and self._turn is None:
            # After the turn in which the function goes on: by then it asked for its next effect, or it waits elsewhere.
            loop = asyncio.get_running_loop()
            self._turn = loop.call_soon(lambda: loop.call_soon(self._look))

    def _look(self) -> None:
        self._turn = None
        if self._fire is None or self._calls:
            return
        if not self._effects.is_replaying:
            self._reached()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STILL_SECONDS_MAX, self._reached)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reached(self) -> None:
        fire, self._fire = self._fire, None
        self._effects.on_frontier = None
        self._stop_looking()
        if fire is not None:
            fire()
