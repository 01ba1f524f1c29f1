"""What a runtime remembers between its turns: whether it may go on without reading, and which failures it told."""

from __future__ import annotations

from collections import OrderedDict

from lash_core.runtime.session.lease_guard import SessionBusyError

TOLD_FAILURES_MAX = 64
"""Failed turns of a runtime that it remembers; only the one that is still open matters."""


class TurnMemory:
    """One runtime's. Belongs to its event loop.

    Attributes:
        generation: the lease generation under which this runtime committed last, and nobody else since; None = read
            the session before the next turn.
    """

    __slots__ = ("_told", "_working", "generation")

    def __init__(self) -> None:
        self.generation: int | None = None
        self._told: OrderedDict[str, None] = OrderedDict()
        self._working = False

    def begin(self, session_id: str) -> None:
        """A turn begins. The lease cannot keep two turns of one incarnation apart: this does.

        Raises:
            SessionBusyError: one runs already.
        """
        if self._working:
            raise SessionBusyError(session_id)
        self._working = True

    def end(self) -> None:
        """The turn is over, however."""
        self._working = False

    @property
    def is_working(self) -> bool:
        """True while a turn runs."""
        return self._working

    def tell_failure(self, turn_id: str) -> None:
        """The caller of a foreground turn hears that nothing changed."""
        self._told[turn_id] = None
        while len(self._told) > TOLD_FAILURES_MAX:
            self._told.popitem(last=False)

    def was_told(self, turn_id: str) -> bool:
        """True for a turn whose caller was told of its failure."""
        return turn_id in self._told
