"""Process commands: what a run or a turn asks of the registry through the effect boundary (contract 5.1). Pure.

A command names its effect (``effect_id``) and gives the arguments by which a replay knows it again (``to_args``).
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json, sha256_hex
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.ids import check_signal_name
from lash_core.model.process_filter import FilterStatus
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import AnyOriginator, SessionScope


class ProcessListMode(StrEnum):
    """Which handles a list shows."""

    LIVE = "live"
    ALL = "all"

    @classmethod
    def of_status(cls, status: FilterStatus) -> ProcessListMode:
        """``running`` lists live grants only, any other status all history (contract 1.12)."""
        return cls.LIVE if status == "running" else cls.ALL


class ProcessSpawnProvenance(Model):
    """Where the chain of a running process comes from; its children inherit it instead of the ephemeral scope."""

    originator: AnyOriginator = Field(kw_only=False)
    wake_target: SessionScope | None = Field(default=None, kw_only=False)


class ProcessStartOptions(Model):
    """What rides beside a start request, so that a caller of the request cannot forge it.

    Attributes:
        descriptor: of the handle that the wake target gets; None = no handle for anybody.
        spawn_provenance: of the running process that starts a child; None when a session starts one.
    """

    descriptor: ProcessHandleDescriptor | None = None
    spawn_provenance: ProcessSpawnProvenance | None = None

    def with_descriptor(self, descriptor: ProcessHandleDescriptor) -> ProcessStartOptions:
        """A copy with a handle descriptor."""
        return self.model_copy(update={"descriptor": descriptor})

    def with_spawn_provenance(self, provenance: ProcessSpawnProvenance) -> ProcessStartOptions:
        """A copy that hands the chain's originator and wake target on."""
        return self.model_copy(update={"spawn_provenance": provenance})


class ProcessCommand(Model):
    """Base of the commands, and what decodes one from an effect's arguments."""

    @property
    def effect_id(self) -> str:
        """The effect's id (contract 5.1); deterministic."""
        raise TypeError("use one of the commands")

    def to_args(self) -> dict[str, Any]:
        """The arguments of the effect: ``{"op": …}`` and the command's own."""
        return self.to_json_value()

    @staticmethod
    def from_args(args: dict[str, Any]) -> AnyDecodableCommand:
        """Decode arguments.

        Raises:
            InvalidArgumentError: no command, or a start: its arguments are the request, not the whole registration.
        """
        try:
            return _COMMAND.validate_python(args)
        except ValidationError as error:
            raise InvalidArgumentError(
                f"not a process command: {error.errors()[0]['msg']}", field="op", value=args.get("op")
            ) from error


class StartProcess(ProcessCommand):
    """Register a process and give ``grant_to`` a handle on it. Idempotent by registration hash."""

    op: Literal["start"] = "start"
    registration: ProcessRegistration = Field(kw_only=False)
    grant_to: SessionScope | None = None
    descriptor: ProcessHandleDescriptor | None = None

    @property
    def effect_id(self) -> str:
        """``process:start:<pid>``."""
        return f"process:start:{self.registration.id}"

    def to_args(self) -> dict[str, Any]:
        """What was asked for: id, input, origin, environment, wake target, handle.

        What a manifest or an engine adds (event types, queue, versions, retries) is left out: a new release replays the
        starts of the old one.
        """
        facts = self.to_json_value()
        registration = facts.pop("registration")
        return {**facts, **{name: registration[name] for name in _REQUEST_FACTS if name in registration}}


class ListProcesses(ProcessCommand):
    """The handles of a scope."""

    op: Literal["list"] = "list"
    scope: SessionScope = Field(kw_only=False)
    mode: ProcessListMode = Field(default=ProcessListMode.LIVE, kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:list:<scope>:<mode>``."""
        return f"process:list:{self.scope.scope_id}:{self.mode.value}"


class TransferProcesses(ProcessCommand):
    """Move handles between scopes, all or nothing."""

    op: Literal["transfer"] = "transfer"
    source: SessionScope = Field(kw_only=False)
    target: SessionScope = Field(kw_only=False)
    process_ids: tuple[str, ...] = Field(kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:transfer:<from>:<to>:<SHA-256 of the ids>``."""
        ids = sha256_hex(list(self.process_ids))
        return f"process:transfer:{self.source.scope_id}:{self.target.scope_id}:{ids}"


class GrantProcess(ProcessCommand):
    """Give a scope a handle."""

    op: Literal["grant"] = "grant"
    scope: SessionScope = Field(kw_only=False)
    process_id: str = Field(kw_only=False)
    descriptor: ProcessHandleDescriptor = Field(default_factory=ProcessHandleDescriptor, kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:grant:<scope>:<pid>``."""
        return f"process:grant:{self.scope.scope_id}:{self.process_id}"


class RevokeProcess(ProcessCommand):
    """Take a handle away; a missing one is success."""

    op: Literal["revoke"] = "revoke"
    scope: SessionScope = Field(kw_only=False)
    process_id: str = Field(kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:revoke:<scope>:<pid>``."""
        return f"process:revoke:{self.scope.scope_id}:{self.process_id}"


class DeleteSessionProcesses(ProcessCommand):
    """Remove a session's side of its processes; cancels and deletes none (contract 2.4)."""

    op: Literal["delete_session"] = "delete_session"
    session_id: str = Field(kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:delete-session:<sid>``."""
        return f"process:delete-session:{self.session_id}"


class AwaitProcess(ProcessCommand):
    """Wait for the outcome of a process; the one command that only waits."""

    op: Literal["await"] = "await"
    process_id: str = Field(kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:await:<pid>``."""
        return f"process:await:{self.process_id}"


class CancelProcess(ProcessCommand):
    """Record a cancel request, then read the row."""

    op: Literal["cancel"] = "cancel"
    process_id: str = Field(kw_only=False)
    reason: str | None = Field(default=None, kw_only=False)

    @property
    def effect_id(self) -> str:
        """``process:cancel:<pid>``."""
        return f"process:cancel:{self.process_id}"


class SignalProcess(ProcessCommand):
    """Append a signal's event, once a ``signal_id``."""

    op: Literal["signal"] = "signal"
    process_id: str = Field(kw_only=False)
    signal_name: str = Field(kw_only=False)
    signal_id: str = Field(kw_only=False)
    request: ProcessEventAppendRequest

    @classmethod
    def of(cls, process_id: str, signal_name: str, signal_id: str, payload: Any) -> SignalProcess:
        """The command of a signal.

        Raises:
            InvalidArgumentError: not a signal name (contract 1.5), or a blank ``signal_id``.
            InvalidJsonError: the payload is not canonical JSON.
        """
        check_signal_name(signal_name)
        if not signal_id.strip():
            raise InvalidArgumentError("a signal id must be a non-empty string", field="signal_id", value=signal_id)
        # As the log keeps it: whoever resolves a wait with it and whoever reads the log see the same value.
        plain = json.loads(canonical_json(payload, field="payload"))
        request = ProcessEventAppendRequest.signal(process_id, signal_name, plain, signal_id=signal_id)
        return cls(process_id, signal_name, signal_id, request=request)

    @property
    def effect_id(self) -> str:
        """``process:signal:<pid>:signal.<name>:<signal id>``."""
        return f"process:signal:{self.process_id}:signal.{self.signal_name}:{self.signal_id}"


_REQUEST_FACTS = ("id", "input", "provenance", "env_ref", "wake_target")

AnyDecodableCommand = Annotated[
    ListProcesses
    | TransferProcesses
    | GrantProcess
    | RevokeProcess
    | DeleteSessionProcesses
    | AwaitProcess
    | CancelProcess
    | SignalProcess,
    Field(discriminator="op"),
]

AnyProcessCommand = StartProcess | AnyDecodableCommand

_COMMAND: TypeAdapter[AnyDecodableCommand] = TypeAdapter(AnyDecodableCommand)
