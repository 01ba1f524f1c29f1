"""A watched session as text in a terminal: what streams cannot be unsaid, so what is taken back is said to be."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console

from lash_core.model.message import Message, ToolResultPart
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    ProcessChangedPayload,
    QueueChangedPayload,
    SessionGap,
    SessionObservation,
    SessionObservationEvent,
    TurnActivityPayload,
)
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_activity import TurnActivity
from lash_worker.cli.output import cell
from lash_worker.cli.session_history import SPEAKER_STYLES, speaker_of
from lash_worker.cli.session_rows import message_text

_ARGUMENTS_SHOWN = 300
"""Characters of a tool's arguments and of its answer."""


def batches_taken_in(event: SessionObservationEvent) -> tuple[str, ...]:
    """The batches that a turn has just taken in, or none."""
    if not isinstance(event.payload, TurnActivityPayload):
        return ()
    said = event.payload.activity.event
    ids = said.facts.get("batch_ids") if said.type == "queued_work_started" else None
    return tuple(str(one) for one in ids) if isinstance(ids, list) else ()


class WatchText:
    """Prints a watch.

    Args:
        out: the terminal.
        history: how many messages are shown before the first event.
    """

    def __init__(self, out: Console, *, history: int = 0) -> None:
        self._out = out
        self._history = history
        self._count = 0
        self._said: dict[str, str] = {}
        """What streamed in this turn, by correlation id."""
        self._given: set[str] = set()
        """Ids of messages that a turn began with and that were shown then."""
        self._open: tuple[str, str] | None = None

    def begin(self, observation: SessionObservation) -> None:
        """Where the session stands."""
        view = observation.read_view
        messages = view.messages
        model = view.policy.model.id or "no model yet"
        self._note(f"{view.session_id}: {len(messages)} messages, {view.turn_index} turns, {model}")
        shown = messages[-self._history :] if self._history else ()
        for message in shown:
            self._message(message)
        self._count = len(messages)

    def gap(self, item: SessionGap) -> None:
        """Events were lost: what is new in the history is shown."""
        self._note(f"gap ({item.gap.reason.value}): some events are lost; it goes on from here", "yellow")
        # Without a commit the turn that was shown may still be under way: what was whole is not said again.
        if len(item.observation.read_view.messages) != self._count:
            self._said.clear()
            self._news(item.observation.read_view)

    def waiting(self, count: int) -> None:
        """How many inputs are in the queue, where the events that said so are lost."""
        if count:
            self._note(f"{count} {'input is' if count == 1 else 'inputs are'} queued")

    def inputs(self, messages: Iterable[Message]) -> None:
        """What the turn that begins was given: what people wrote, what woke it."""
        for message in messages:
            if message.id not in self._given:
                self._given.add(message.id)
                self._message(message)

    def event(self, event: SessionObservationEvent) -> None:
        """One event."""
        match event.payload:
            case TurnActivityPayload(activity=activity):
                self._activity(activity)
            case CommittedPayload(read_view=view):
                self._news(view)
                self._note(f"── committed, revision {int(event.revision)} ──")
            case AgentFrameSwitchedPayload(frame_id=frame_id):
                self._note(f"goes on in frame {frame_id}")
            case QueueChangedPayload(kind=kind, batch_ids=ids):
                self._note(f"input {kind.value}: {', '.join(ids)}")
            case ProcessChangedPayload(kind=kind, process_ids=ids):
                self._note(f"process {kind.value}: {', '.join(ids)}")

    # -- a turn under way ----------------------------------------------------------------------------------

    def _activity(self, activity: TurnActivity) -> None:
        said, correlation = activity.event, activity.correlation_id
        facts: dict[str, Any] = said.facts
        match said.type:
            case "assistant_prose_delta":
                self._stream("assistant", "green", "", correlation, str(facts.get("text", "")))
            case "reasoning_delta":
                self._stream("thinking", "dim", "dim", correlation, str(facts.get("text", "")))
            case "model_attempt_reset":
                if self._said.pop(correlation, ""):
                    self._note("the text above is taken back: that attempt did not come to its end", "yellow")
            case "tool_call_started":
                self._note(f"→ {facts.get('tool_name')}({_short(facts.get('args'))})", "magenta")
            case "tool_call_completed":
                name, output = facts.get("tool_name"), facts.get("output")
                if _is_good(output):
                    self._note(f"← {name}: {_short(_answer(output))}", "magenta")
                else:
                    self._note(f"✕ {name}: {_short(_answer(output))}", "red")
            case "plugin_runtime" if facts.get("event") == "tool_progress":
                self._note(f"… {facts.get('tool_name')}: {_short(facts.get('progress'))}", "magenta")
            case "retry_status":
                text = f"{facts.get('message')}; attempt {facts.get('attempt')} of {facts.get('attempts_max')} failed"
                self._note(text, "yellow")
            case "error":
                self._note(f"error: {facts.get('message')}", "red")
            case _:
                pass

    def _stream(self, who: str, style: str, text_style: str, correlation_id: str, text: str) -> None:
        if self._open != (who, correlation_id):
            self._line(who, style)
            self._open = (who, correlation_id)
        if who == "assistant":
            self._said[correlation_id] = self._said.get(correlation_id, "") + text
        self._out.print(cell(text, text_style) if text else "", end="", soft_wrap=True)

    # -- what was committed ----------------------------------------------------------------------------------

    def _news(self, view: SessionReadView) -> None:
        """Messages that are new and were not shown while they came."""
        messages = view.messages
        streamed = [text.strip() for text in self._said.values()]
        news = messages[self._count :] if self._count <= len(messages) else messages[-1:]
        for message in news:
            if not self._was_shown(message, streamed):
                self._message(message)
        self._count = len(messages)
        self._said.clear()
        # What is left was given to the turn after this one, which may have begun already.
        self._given.difference_update(message.id for message in news)

    def _was_shown(self, message: Message, streamed: list[str]) -> bool:
        text = message.text.strip()
        if message.role == "assistant":
            return text in streamed if text else bool(self._said) or not message_text(message)
        if message.role == "user" and message.parts and all(isinstance(p, ToolResultPart) for p in message.parts):
            return bool(self._said) or bool(self._given)
        return message.id in self._given

    def _message(self, message: Message) -> None:
        text = message_text(message)
        if text:
            who = speaker_of(message)
            self._line(who + (f" ({message.origin})" if message.origin else ""), SPEAKER_STYLES[who])
            self._print(text)

    # -- lines -------------------------------------------------------------------------------------------------

    def _line(self, who: str, style: str) -> None:
        self._end_stream()
        self._out.print(cell(who, style))

    def _note(self, text: str, style: str = "dim") -> None:
        self._end_stream()
        self._out.print(cell(text, style), soft_wrap=True)

    def _print(self, text: str) -> None:
        self._end_stream()
        self._out.print(cell(text), soft_wrap=True)

    def _end_stream(self) -> None:
        if self._open is not None:
            self._open = None
            self._out.print()


def _is_good(output: Any) -> bool:
    """Whether a tool answered, as far as can be said; a failure and a cancel have other types."""
    return not isinstance(output, dict) or output.get("type", "success") == "success"


def _answer(output: Any) -> Any:
    return output.get("value", output.get("message", output)) if isinstance(output, dict) else output


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _ARGUMENTS_SHOWN else text[: _ARGUMENTS_SHOWN - 1] + "…"
