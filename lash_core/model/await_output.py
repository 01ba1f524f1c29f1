"""The outcome of a process (contract 1.8) and the evidence of an abandonment."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AliasChoices, Field, TypeAdapter, ValidationError

from lash_core.model.base import JsonValue, Model
from lash_core.model.owner import LeaseOwnerIdentity


class ToolFailureClass(StrEnum):
    """Classes of failures."""

    INVALID_REQUEST = "invalid_request"
    UNAVAILABLE = "unavailable"
    PERMISSION_DENIED = "permission_denied"
    TIMEOUT = "timeout"
    EXECUTION = "execution"
    EXTERNAL = "external"
    RESOURCE_LIMIT = "resource_limit"
    INTERNAL = "internal"


class AbandonWriter(StrEnum):
    """Who recorded an abandonment."""

    OWNER_DRAIN = "owner_drain"
    SWEEP = "sweep"
    RECONCILED_REQUEST = "reconciled_request"


ABANDON_MESSAGES = {
    AbandonWriter.OWNER_DRAIN: "owner drained without recording an outcome",
    AbandonWriter.SWEEP: "recovery observed the owner provably dead",
    AbandonWriter.RECONCILED_REQUEST: "reconciled abandon request after the lease lapsed",
}
"""Text for people, by writer (contract 1.8)."""


class AbandonEvidence(Model):
    """Why a process counts as abandoned: who wrote it, against which owner, when (ms since the epoch)."""

    writer: AbandonWriter = Field(kw_only=False)
    owner: LeaseOwnerIdentity | None = Field(default=None, kw_only=False)
    epoch_ms: int = Field(default=0, kw_only=False)


class ProcessAwaitOutput(Model):
    """Base of the four outcomes; also their factory: ``ProcessAwaitOutput.success(value)``."""

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """As every model; of the base itself, the outcome that the tag ``type`` says."""
        if cls is ProcessAwaitOutput:
            return cast("Self", _OUTPUT.validate_python(obj, **options))
        return super().model_validate(obj, **options)

    @property
    def state(self) -> Literal["completed", "failed", "cancelled", "abandoned"]:
        """The terminal state this outcome projects to."""
        raise TypeError("use one of the four outcomes")

    @staticmethod
    def success(value: JsonValue = None, control: JsonValue = None) -> Success:
        """The process completed with a value."""
        return Success(value=value, control=control)

    @staticmethod
    def failure(
        class_: ToolFailureClass | str, code: str, message: str, raw: JsonValue = None, control: JsonValue = None
    ) -> FailureOutput:
        """The process failed."""
        return FailureOutput(class_=ToolFailureClass(class_), code=code, message=message, raw=raw, control=control)

    @staticmethod
    def cancelled(message: str, raw: JsonValue = None, control: JsonValue = None) -> CancelledOutput:
        """The process was cancelled."""
        return CancelledOutput(message=message, raw=raw, control=control)

    @staticmethod
    def abandoned(evidence: AbandonEvidence, control: JsonValue = None) -> AbandonedOutput:
        """Nobody may run the process any more and no outcome was observed."""
        return AbandonedOutput(evidence=evidence, control=control)

    def to_json_value(self) -> dict[str, Any]:
        """The outcome as stored: absent ``control`` and ``raw`` left out, ``value`` always there for a success."""
        data = self.to_plain_value()
        if isinstance(self, Success):
            data.setdefault("value", self.value)
        return data


class Success(ProcessAwaitOutput):
    """Completed."""

    type: Literal["success"] = "success"
    value: JsonValue = Field(default=None, kw_only=False)
    control: JsonValue = Field(default=None, kw_only=False)

    @property
    def state(self) -> Literal["completed"]:
        """``completed``."""
        return "completed"


class FailureOutput(ProcessAwaitOutput):
    """Failed."""

    type: Literal["failure"] = "failure"
    class_: ToolFailureClass = Field(
        validation_alias=AliasChoices("class", "class_"), serialization_alias="class", kw_only=False
    )
    code: str = Field(kw_only=False)
    message: str = Field(kw_only=False)
    raw: JsonValue = Field(default=None, kw_only=False)
    control: JsonValue = Field(default=None, kw_only=False)

    @property
    def state(self) -> Literal["failed"]:
        """``failed``."""
        return "failed"


class CancelledOutput(ProcessAwaitOutput):
    """Cancelled."""

    type: Literal["cancelled"] = "cancelled"
    message: str = Field(default="", kw_only=False)
    raw: JsonValue = Field(default=None, kw_only=False)
    control: JsonValue = Field(default=None, kw_only=False)

    @property
    def state(self) -> Literal["cancelled"]:
        """``cancelled``."""
        return "cancelled"


class AbandonedOutput(ProcessAwaitOutput):
    """Abandoned."""

    type: Literal["abandoned"] = "abandoned"
    evidence: AbandonEvidence = Field(kw_only=False)
    control: JsonValue = Field(default=None, kw_only=False)

    @property
    def state(self) -> Literal["abandoned"]:
        """``abandoned``."""
        return "abandoned"


AnyAwaitOutput = Annotated[Success | FailureOutput | CancelledOutput | AbandonedOutput, Field(discriminator="type")]

_OUTPUT: TypeAdapter[AnyAwaitOutput] = TypeAdapter(AnyAwaitOutput)


def decode_await_output(value: Any) -> AnyAwaitOutput | None:
    """The outcome that ``value`` encodes, or None when it is something else."""
    if not isinstance(value, dict) or value.get("type") not in {"success", "failure", "cancelled", "abandoned"}:
        return None
    try:
        return _OUTPUT.validate_python(value)
    except ValidationError:
        return None
