"""Agent frames: the stretches of a session, each with its own assignment (``docs/contracts/sessions.md`` 1.5)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.scope import CausalRef
from lash_core.model.session import SessionPolicy

INITIAL_REASON = "initial"


class ToolAccess(Model):
    """Which tools a frame or child session has. ``hidden_tools`` are names: never members, never executable.

    ``tools`` None = all that the host offers.
    """

    tools: tuple[str, ...] | None = None
    hidden_tools: tuple[str, ...] = ()


class AgentFrameAssignment(Model):
    """What a frame works with. ``subagent`` and ``plugin_options`` are opaque JSON."""

    policy: SessionPolicy = Field(default_factory=SessionPolicy)
    plugin_options: dict[str, JsonValue] = Field(default_factory=dict)
    plugin_source: Literal["current_host_fresh", "current_session_fork"] = "current_host_fresh"
    tool_access: ToolAccess = Field(default_factory=ToolAccess)
    subagent: JsonValue = None
    usage_source: str | None = None


class AgentFrameRecord(Model):
    """One frame. Exactly one of a session is ``active``. ``reason`` is an open label: ``initial``, ``compaction``.

    ``created_at_ms`` is the clock of whoever opened the frame; it is for people, nothing is decided by it.
    """

    frame_id: str
    session_id: str
    previous_frame_id: str | None = None
    status: Literal["active", "superseded"] = "active"
    reason: str = INITIAL_REASON
    caused_by: CausalRef | None = None
    created_at_ms: int = 0
    assignment: AgentFrameAssignment = Field(default_factory=AgentFrameAssignment)
    protocol_turn_options: JsonValue = None
    execution_state_ref: str | None = None
    execution_state_snapshot: JsonValue = None


def initial_frame_id(session_id: str) -> str:
    """The id of a session's first frame."""
    return f"{session_id}:frame:initial"
