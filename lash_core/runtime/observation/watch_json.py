"""What a watcher is told, as JSON: one line an item (``docs/contracts/observation.md`` 6).

The texts of an event are made once a program, whatever the number of those who watch it.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from lash_core.model.observation_codec import quoted
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session_observation import (
    CommittedPayload,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    TurnActivityPayload,
    WatchItem,
)
from lash_core.model.session_state import SessionReadView
from lash_core.runtime.observation.watch_values import event_value, queued_value, view_value

LINES_MAX: Final = 4_096
LINES_BYTES_MAX: Final = 16 * 1024 * 1024
"""Lines kept for other watchers of the same events: twice a ring's events, and far more than those who keep up need."""


@dataclass(frozen=True)
class WatchLine:
    """One item as it is sent.

    Attributes:
        cursor: to resume behind it.
        type: of the event.
        data: the JSON object, without a line break; it has ``type``, ``session_id``, ``revision`` and ``cursor``.
    """

    cursor: str
    type: str
    data: str

    @cached_property
    def sse(self) -> bytes:
        """The item as a server-sent event; a browser hands its id back as ``Last-Event-ID``."""
        # A lone surrogate becomes its JSON escape.
        return f"id: {self.cursor}\nevent: {self.type}\ndata: {self.data}\n\n".encode("utf-8", "backslashreplace")


@dataclass(slots=True)
class WatchJson:
    """The JSON of one watch. It knows which messages its reader has, so that a commit brings only the others.

    Attributes:
        messages_max: the newest so many messages are sent of a history that the reader does not have; None = all.
    """

    messages_max: int | None = None
    _count: int = field(default=0, init=False)
    _last_id: str | None = field(default=None, init=False)

    def line(self, item: WatchItem, queued: Sequence[QueuedWorkBatch] = ()) -> WatchLine:
        """One item. ``queued`` is shown with an observation or a gap: what waits in the session's queue."""
        match item:
            case SessionObservation():
                value = {"observation": self._observation(item, queued)}
                return _line(item.read_view.session_id, _revision(item), str(item.cursor), "observation", value)
            case SessionGap(observation=observation, gap=gap):
                value = {
                    "reason": gap.reason.value,
                    "requested_cursor": str(gap.requested_cursor),
                    "latest_cursor": str(gap.latest_cursor),
                    "latest_revision": int(gap.latest_revision),
                    "observation": self._observation(observation, queued),
                }
                return _line(gap.session_id, int(gap.latest_revision), str(observation.cursor), "gap", value)
            case SessionObservationEvent(payload=CommittedPayload(read_view=view)):
                first = self._take(view)
                return _LINES.line(item, first)
            case SessionObservationEvent():
                return _LINES.line(item, 0)

    def _observation(self, observation: SessionObservation, queued: Sequence[QueuedWorkBatch]) -> dict[str, Any]:
        view = observation.read_view
        self._count, self._last_id = 0, None
        first = self._take(view)
        policy = view.policy
        return {
            "policy": {"model": policy.model.id, "provider_id": policy.provider_id},
            **view_value(view, first),
            "queued": [queued_value(batch) for batch in queued],
        }

    def _take(self, view: SessionReadView) -> int:
        """The first message to send; afterwards the reader has them all.

        History only grows, and a message has one ancestry: where its last one stands in its place, the reader has all
        before it.
        """
        messages, count = view.messages, self._count
        has_them = 0 < count <= len(messages) and messages[count - 1].id == self._last_id
        self._count, self._last_id = len(messages), messages[-1].id if messages else None
        if has_them:
            return count
        return 0 if self.messages_max is None else max(0, len(messages) - self.messages_max)


def _revision(observation: SessionObservation) -> int:
    return int(observation.cursor.parse().revision)


def _streamed(event: SessionObservationEvent) -> WatchLine | None:
    """The line of a piece of text, as ``_line`` says it, in a fifth of the time; None: it is something else."""
    payload = event.payload
    if not isinstance(payload, TurnActivityPayload):
        return None
    activity = payload.activity
    facts = activity.event.facts
    if len(facts) != 1 or type(text := facts.get("text")) is not str:
        return None
    cursor = str(event.cursor)
    told = (
        f'{{"text":{quoted(text)},"type":"{activity.event.type}","id":{quoted(activity.id)},'
        f'"correlation_id":{quoted(activity.correlation_id)}}}'
    )
    data = (
        f'{{"type":"turn_activity","session_id":{quoted(event.session_id)},"revision":{int(event.revision)},'
        f'"cursor":{quoted(cursor)},"activity":{told}}}'
    )
    return WatchLine(cursor, "turn_activity", data)


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _line(session_id: str, revision: int, cursor: str, kind: str, value: dict[str, Any]) -> WatchLine:
    facts = {"type": kind, "session_id": session_id, "revision": revision, "cursor": cursor, **value}
    return WatchLine(cursor, kind, _encode(facts))


# -- lines that watchers share ---------------------------------------------------------------------------------


class SharedLines:
    """The newest lines, by event and first message, while their events are kept elsewhere. From any thread.

    What is not here is made again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[int, int], tuple[weakref.ref[SessionObservationEvent], WatchLine]] = {}
        self._gone: deque[tuple[int, int]] = deque()
        """Lines of events that nobody has any more. They are taken out with the next line: who notes them may be the
        garbage collector, in the middle of anything."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._lines) - len(self._gone)

    def line(self, event: SessionObservationEvent, first: int) -> WatchLine:
        """The line of an event."""
        key = (id(event), first)
        kept = self._lines.get(key)
        if kept is not None and kept[0]() is event:
            return kept[1]
        line = _streamed(event) or _line(
            event.session_id, int(event.revision), str(event.cursor), event.payload.type, event_value(event, first)
        )
        # Not the event itself: that of a commit has the session's whole history.
        held = weakref.ref(event, lambda _: self._gone.append(key))
        with self._lock:
            while self._gone:
                self._drop(self._gone.popleft())
            if self._lines.setdefault(key, (held, line))[1] is line:
                self._bytes += len(line.data)
            while len(self._lines) > LINES_MAX or (self._bytes > LINES_BYTES_MAX and len(self._lines) > 1):
                self._drop(next(iter(self._lines)))
        return line

    def _drop(self, key: tuple[int, int]) -> None:
        kept = self._lines.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept[1].data)


_LINES = SharedLines()
