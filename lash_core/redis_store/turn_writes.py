"""What this client saw accepted of the turns that it runs (DESIGN 3.3 rule 6)."""

from __future__ import annotations

from collections import OrderedDict

TURNS_REMEMBERED_MAX = 20_000
"""Turns whose counts are kept: more than any worker runs. A forgotten one is not checked."""

TurnName = tuple[str, str, str]
"""Session, turn, token of the lease."""


class TurnWrites:
    """Accepted writes by turn and lease, bounded; the oldest unused is forgotten first."""

    def __init__(self) -> None:
        self._counts: OrderedDict[TurnName, int] = OrderedDict()

    def acknowledged(self, name: TurnName) -> int:
        """Writes of the turn that were acknowledged under this lease: the store has at least as many."""
        return self._counts.get(name, 0)

    def acknowledge(self, name: TurnName, writes: int) -> None:
        """The store answered that it has accepted so many writes of the turn."""
        self._counts[name] = max(writes, self._counts.get(name, 0))
        self._counts.move_to_end(name)
        if len(self._counts) > TURNS_REMEMBERED_MAX:
            self._counts.popitem(last=False)

    def forget(self, name: TurnName) -> None:
        """The turn begins: it has no writes."""
        self._counts.pop(name, None)
