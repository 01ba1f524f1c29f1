"""Lines of a monitor on their way to its session: bounded, newest kept (``docs/contracts/background_tasks.md`` 6)."""

from __future__ import annotations

from collections import deque

LINE_CHARACTERS_MAX = 4_000
"""Of one line; what is longer is cut, and the rest of that line is left out."""
WAITING_LINES_MAX = 256
WAITING_CHARACTERS_MAX = 64 * 1024
"""Lines that wait to be handed on; beyond either the oldest are dropped and counted: what is new says more."""
BATCH_LINES_MAX = 64
BATCH_CHARACTERS_MAX = 16 * 1024
"""Of one batch, hence of one message that a model reads."""


class MonitorLines:
    """Cuts bytes into lines and keeps those that were not handed on yet."""

    __slots__ = ("_characters", "_part", "_part_is_cut", "_waiting", "count", "dropped")

    def __init__(self) -> None:
        self._waiting: deque[str] = deque()
        self._characters = 0
        self._part = b""
        self._part_is_cut = False
        self.count = 0
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        """Take in what the command wrote."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = self._part + whole[0]
            # Of a flood only the newest lines can stay: the others are counted and not looked at.
            skipped = max(0, len(whole) - WAITING_LINES_MAX)
            self.count += skipped
            self.dropped += skipped
            for index, line in enumerate(whole[skipped:], start=skipped):
                self._add(line, cut=self._part_is_cut and index == 0)
            self._part, self._part_is_cut = b"", False
        self._part += rest
        if len(self._part) > 4 * LINE_CHARACTERS_MAX:
            # A character has at most four bytes: enough is kept for a line that is cut.
            self._part, self._part_is_cut = self._part[: 4 * LINE_CHARACTERS_MAX], True

    def end(self) -> None:
        """Nothing more comes: what stands without a line feed is a line."""
        if self._part:
            self._add(self._part, cut=self._part_is_cut)
            self._part, self._part_is_cut = b"", False

    @property
    def is_waiting(self) -> bool:
        """True when there is something to hand on."""
        return bool(self._waiting)

    def take(self) -> tuple[str, ...]:
        """The next batch, at most ``BATCH_LINES_MAX`` lines; each line is taken once."""
        batch: list[str] = []
        size = 0
        while self._waiting and len(batch) < BATCH_LINES_MAX:
            size += len(self._waiting[0])
            if batch and size > BATCH_CHARACTERS_MAX:
                break
            line = self._waiting.popleft()
            self._characters -= len(line)
            batch.append(line)
        return tuple(batch)

    def _add(self, line: bytes, *, cut: bool) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if cut or len(text) > LINE_CHARACTERS_MAX:
            text = text[: LINE_CHARACTERS_MAX - 1] + "…"
        self.count += 1
        self._waiting.append(text)
        self._characters += len(text)
        while len(self._waiting) > WAITING_LINES_MAX or self._characters > WAITING_CHARACTERS_MAX:
            self._characters -= len(self._waiting.popleft())
            self.dropped += 1
