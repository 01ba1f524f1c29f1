"""A session as one who watches it knows it: its history, and what is provisional (``docs/contracts/observation.md`` 6).

Pure: it is fed the items of a watch, in their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lash_core.model.base import JsonValue
from lash_core.model.message import Message
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    TurnActivityPayload,
    WatchItem,
)
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_activity import TurnActivity


@dataclass(slots=True)
class ProvisionalPart:
    """Text that streams, or a tool call. It is over with the commit of its turn.

    Attributes:
        revision: on which its turn began.
        correlation_id: a ``model_attempt_reset`` takes back what has its id.
        name: of the tool; "" for text.
        output: of the tool, once it has answered.
    """

    kind: Literal["prose", "reasoning", "tool"]
    revision: int
    correlation_id: str
    text: str = ""
    name: str = ""
    args: JsonValue = None
    output: JsonValue = None


@dataclass(slots=True)
class WatchedSession:
    """What is known after some items of a watch.

    Attributes:
        messages: the history, as it was committed last.
        provisional: of the turn under way, in the order in which it came.
        cursor: of the newest item.
        gaps: how many there were.
    """

    messages: tuple[Message, ...] = ()
    provisional: list[ProvisionalPart] = field(default_factory=list[ProvisionalPart])
    revision: int = 0
    frame_id: str = ""
    cursor: SessionCursor | None = None
    gaps: int = 0

    @property
    def prose(self) -> str:
        """What the model says, as far as it came."""
        return "".join(part.text for part in self.provisional if part.kind == "prose")

    def take(self, item: WatchItem) -> None:
        """The next item."""
        match item:
            case SessionObservation():
                self._begin(item)
            case SessionGap(observation=observation):
                self.gaps += 1
                self._begin(observation)
            case SessionObservationEvent():
                self._take_event(item)

    def _begin(self, observation: SessionObservation) -> None:
        self.provisional.clear()
        self.cursor = observation.cursor
        self._history(observation.read_view, observation.cursor.parse().revision)

    def _take_event(self, event: SessionObservationEvent) -> None:
        self.cursor = event.cursor
        match event.payload:
            case CommittedPayload(read_view=view):
                # A later turn may have begun before this commit was told: its text is not over. A session that is
                # stored for the first time may count from 1 again: then nothing is of a later turn.
                later = event.revision if event.revision > self.revision else None
                self.provisional = [part for part in self.provisional if later is not None and part.revision >= later]
                self._history(view, event.revision)
            case TurnActivityPayload(activity=activity):
                self._take_activity(event.revision, activity)
            case AgentFrameSwitchedPayload(frame_id=frame_id):
                self.frame_id = frame_id
            case _:
                pass

    def _history(self, view: SessionReadView, revision: int) -> None:
        self.messages, self.frame_id, self.revision = view.messages, view.current_agent_frame_id, revision

    def _take_activity(self, revision: int, activity: TurnActivity) -> None:
        correlation, facts = activity.correlation_id, activity.event.facts
        match activity.event.type:
            case "assistant_prose_delta":
                self._say("prose", revision, correlation, str(facts.get("text", "")))
            case "reasoning_delta":
                self._say("reasoning", revision, correlation, str(facts.get("text", "")))
            case "model_attempt_reset":
                self.provisional = [part for part in self.provisional if part.correlation_id != correlation]
            case "tool_call_started":
                tool = self._tool(revision, correlation)
                tool.name, tool.args = str(facts.get("tool_name", "")), facts.get("args")
            case "tool_call_completed":
                tool = self._tool(revision, correlation)
                tool.name, tool.output = str(facts.get("tool_name", "")), facts.get("output")
            case _:
                pass

    def _say(self, kind: Literal["prose", "reasoning"], revision: int, correlation_id: str, text: str) -> None:
        last = self.provisional[-1] if self.provisional else None
        if last is None or (last.kind, last.correlation_id) != (kind, correlation_id):
            last = ProvisionalPart(kind, revision, correlation_id)
            self.provisional.append(last)
        last.text += text

    def _tool(self, revision: int, correlation_id: str) -> ProvisionalPart:
        for part in self.provisional:
            if part.kind == "tool" and part.correlation_id == correlation_id:
                return part
        tool = ProvisionalPart("tool", revision, correlation_id)
        self.provisional.append(tool)
        return tool
