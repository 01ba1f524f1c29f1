"""Where a replay ends: a cancel is delivered there at the earliest (docs/adr/0107)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lash_core.runtime.journal.run import RunEffects

STILL_SECONDS_MAX = 10.0
"""A function that waits this long for something that is not lash's, with recorded effects it never asked for, gets its
cancel anyway: code may have changed so that it never asks."""
CALL_SECONDS_MAX = 0.25
"""A verb that takes this long waits for something that is not there: the replay is over."""


class Frontier:
    """Holds a cancel back until the run asks for something that is not recorded. Of runs that replay.

    A function whose recorded effects are all answered and that then waits for something else gets it there.
    """

    __slots__ = ("_calls", "_effects", "_fire", "_over", "_timer", "_turn")

    def __init__(self, effects: RunEffects) -> None:
        self._effects = effects
        self._fire: Callable[[], None] | None = None
        self._over = False
        self._calls = 0
        self._timer: asyncio.TimerHandle | None = None
        self._turn: asyncio.Handle | None = None

    @property
    def is_over(self) -> bool:
        """True once a cancel interrupts the function where it is."""
        return self._over or self._effects.is_past_frontier

    def hold(self, fire: Callable[[], None]) -> None:
        """Call ``fire`` once: at the frontier, or now when the run is past it. In the loop's thread."""
        if self.is_over:
            fire()
            return
        self._fire = fire
        self._effects.on_frontier = self._reached
        self._look_later()

    def enter(self) -> None:
        """A verb of the context begins."""
        self._calls += 1
        if self._fire is not None:
            self._look_later()

    def leave(self) -> None:
        """A verb of the context ended; the function goes on and either asks for the next or waits elsewhere."""
        self._calls -= 1
        if self._fire is not None:
            self._look_later()

    def close(self) -> None:
        """The function is over."""
        self._fire = None
        self._effects.on_frontier = None
        self._stop_looking()

    def _look_later(self) -> None:
        self._stop_looking()
        if self._turn is None:
            # After the turn in which the function goes on: by then it asked for its next effect, or it waits elsewhere.
            loop = asyncio.get_running_loop()
            self._turn = loop.call_soon(lambda: loop.call_soon(self._look))

    def _look(self) -> None:
        self._turn = None
        if self._fire is None:
            return
        if self._calls:
            self._reach_after(CALL_SECONDS_MAX)
        elif self._effects.is_replaying:
            self._reach_after(STILL_SECONDS_MAX)
        else:
            self._reached()

    def _reach_after(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._reached)

    def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _reached(self) -> None:
        fire, self._fire = self._fire, None
        self._over = True
        self._effects.on_frontier = None
        self._stop_looking()
        if fire is not None:
            fire()
