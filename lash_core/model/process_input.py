"""What a process runs: the tagged ``ProcessInput`` (contract 1.2) and the identity derived from it (1.3)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, TypeAdapter

from lash_core.model.base import JsonValue, Model


class PreparedToolCall(Model):
    """A tool call that is ready to run."""

    call_id: str = Field(kw_only=False)
    tool_id: str = Field(kw_only=False)
    tool_name: str = Field(kw_only=False)
    args: JsonValue = Field(default=None, kw_only=False)
    replay: JsonValue = None
    prepared_payload: JsonValue = None


class ProcessInput(Model):
    """Base of the four inputs; also their factory: ``ProcessInput.engine("report.build", {...})``."""

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As every model; of the base itself, the input that the tag ``type`` says."""
        if cls is ProcessInput:
            return cast("Self", _INPUT.validate_python(obj, **options))
        return super().model_validate(obj, **options)

    @staticmethod
    def tool_call(call: PreparedToolCall) -> ToolCallInput:
        """One tool attempt through the effect boundary."""
        return ToolCallInput(call=call)

    @staticmethod
    def engine(kind: str, payload: JsonValue = None) -> EngineInput:
        """Work of a registered process engine; ``payload`` is opaque to lash."""
        return EngineInput(kind=kind, payload=payload)

    @staticmethod
    def session_turn(
        create_request: JsonValue, turn_input: JsonValue, output_contract: JsonValue = None
    ) -> SessionTurnInput:
        """A turn of a child session."""
        return SessionTurnInput(create_request=create_request, turn_input=turn_input, output_contract=output_contract)

    @staticmethod
    def external(metadata: JsonValue = None) -> ExternalInput:
        """Work that something outside lash does and reports."""
        return ExternalInput(metadata={} if metadata is None else metadata)


class ToolCallInput(ProcessInput):
    """One prepared tool call."""

    type: Literal["tool_call"] = "tool_call"
    call: PreparedToolCall = Field(kw_only=False)


class EngineInput(ProcessInput):
    """Work of a process engine."""

    type: Literal["engine"] = "engine"
    kind: str = Field(kw_only=False)
    payload: JsonValue = Field(default=None, kw_only=False)


class SessionTurnInput(ProcessInput):
    """A turn of a child session."""

    type: Literal["session_turn"] = "session_turn"
    create_request: JsonValue = None
    turn_input: JsonValue = None
    output_contract: JsonValue = None


class ExternalInput(ProcessInput):
    """Work done outside lash."""

    type: Literal["external"] = "external"
    metadata: JsonValue = Field(default_factory=dict, kw_only=False)


AnyProcessInput = Annotated[ToolCallInput | EngineInput | SessionTurnInput | ExternalInput, Field(discriminator="type")]

_INPUT: TypeAdapter[AnyProcessInput] = TypeAdapter(AnyProcessInput)


class ProcessIdentity(Model):
    """What a process is called in lists: kind, optional label, optional definition."""

    kind: str = Field(kw_only=False)
    label: str | None = Field(default=None, kw_only=False)
    definition: JsonValue = Field(default=None, kw_only=False)


def default_identity(process_input: AnyProcessInput) -> ProcessIdentity:
    """The identity an input has when the registration gives none (contract 1.3)."""
    match process_input:
        case ToolCallInput():
            return ProcessIdentity(kind="tool", label=process_input.call.tool_name)
        case EngineInput():
            return ProcessIdentity(kind=process_input.kind)
        case SessionTurnInput():
            return ProcessIdentity(kind="session_turn", label=_session_turn_label(process_input.create_request))
        case ExternalInput():
            return ProcessIdentity(kind="external", label=_first_text(process_input.metadata, "label", "name", "title"))


def _session_turn_label(create_request: Any) -> str | None:
    if not isinstance(create_request, dict):
        return None
    subagent: Any = create_request.get("subagent")
    capability = _first_text(subagent, "capability") if isinstance(subagent, dict) else None
    return capability or _first_text(create_request, "usage_source", "session_id")


def _first_text(value: Any, *names: str) -> str | None:
    if not isinstance(value, dict):
        return None
    for name in names:
        found = value.get(name)
        if isinstance(found, str):
            return found
    return None
