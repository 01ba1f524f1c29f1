"""When rows become due, as last learned from claims and notices: hints that let an idle worker wake in time. Pure."""

from __future__ import annotations

QUEUE_SETS_MAX = 16
"""Sets of queues that are kept apart; a worker asks for one."""


class DueTimes:
    """Partition → earliest due time after now, by the server's clock. Belongs to one registry."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, ...], dict[int, int]] = {}
        self._heard: dict[int, int] = {}

    def learn(self, queues: tuple[str, ...], partition: int, due_at_ms: int, now_ms: int) -> None:
        """What a look at these queues found; 0 = nothing becomes due by itself.

        What was heard stays until its time: the look may be older than the notice.
        """
        if queues not in self._asked and len(self._asked) >= QUEUE_SETS_MAX:
            self._asked.clear()
        known = self._asked.setdefault(queues, {})
        if due_at_ms:
            known[partition] = due_at_ms
        else:
            known.pop(partition, None)
        for times in (self._heard, *self._asked.values()):
            if times.get(partition, now_ms + 1) <= now_ms:
                times.pop(partition)

    def hear(self, partition: int, due_at_ms: int) -> None:
        """A notice: a row becomes due before all others of its queue."""
        self._heard[partition] = min(due_at_ms, self._heard.get(partition, due_at_ms))

    def earliest(self) -> dict[int, int]:
        """Partition → earliest time."""
        found = dict(self._heard)
        for known in self._asked.values():
            for partition, due_at_ms in known.items():
                found[partition] = min(due_at_ms, found.get(partition, due_at_ms))
        return found
