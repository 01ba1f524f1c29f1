"""Facts beside the status of a row.

Start, abandon request, wait, external reference, cancel (contract 1.11, decision 21).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.ids import signal_event_type
from lash_core.model.limits import Limits
from lash_core.model.owner import LeaseOwnerIdentity


class ProcessStarted(Model):
    """First start: the worker's configured identity and the time. The first writer wins."""

    owner: LeaseOwnerIdentity = Field(kw_only=False)
    started_at_ms: int = Field(kw_only=False)


class AbandonRequest(Model):
    """Somebody allows the process to be abandoned. The first writer wins."""

    requested_by: str = Field(kw_only=False)
    requested_at_ms: int = Field(kw_only=False)
    reason: str | None = Field(default=None, kw_only=False)


class SignalWait(Model):
    """Waiting for the ``ordinal``-th signal of a name; ``key`` is ``process:<pid>:signal.<name>:<ordinal>``."""

    type: Literal["signal"] = "signal"
    name: str = Field(kw_only=False)
    event_type: str = Field(kw_only=False)
    key: str = Field(kw_only=False)
    ordinal: int = Field(ge=1, kw_only=False)

    @classmethod
    def of(cls, process_id: str, name: str, ordinal: int) -> SignalWait:
        """The wait of a process for its ``ordinal``-th signal of a name; ordinals start at 1.

        Raises:
            InvalidArgumentError: not a signal name.
        """
        event_type = signal_event_type(name)
        return cls(
            name=name, event_type=event_type, key=f"process:{process_id}:{event_type}:{ordinal}", ordinal=ordinal
        )


class WaitState(Model):
    """What a process waits for, since when. A facet: a waiting process is still running."""

    since_ms: int = Field(kw_only=False)
    kind: SignalWait = Field(kw_only=False)


class ProcessExternalRef(Model):
    """The name of the process in another system. The first assignment sticks."""

    backend: str = Field(kw_only=False)
    id: str = Field(kw_only=False)
    metadata: JsonValue = Field(default=None, kw_only=False)

    def validated(self, limits: Limits) -> ProcessExternalRef:
        """A copy of its own when it is canonical JSON within the payload limit.

        Raises:
            InvalidJsonError, LimitExceededError: naming the field.
        """
        text = canonical_json(self.to_plain_value(), field="external_ref")
        limits.check_payload_size(len(text.encode()), field="external_ref")
        return ProcessExternalRef.model_validate_json(text)

    def same_as(self, other: ProcessExternalRef) -> bool:
        """Equal in backend, id and metadata, compared as JSON: 1 and 1.0 and true are three values."""
        return canonical_json(self.to_plain_value()) == canonical_json(other.to_plain_value())


class CancelRequest(Model):
    """The first cancel request of a row, kept beside its event."""

    requested_at_ms: int
    requested_by: str | None = None
    reason: str | None = None
    seen_at_ms: int | None = None


class ProcessHandleDescriptor(Model):
    """How a handle describes its process to its holder."""

    kind: str | None = Field(default=None, kw_only=False)
    label: str | None = Field(default=None, kw_only=False)


class ProcessHandleGrant(Model):
    """A scope's capability on a process."""

    session_id: str
    process_id: str
    scope_id: str
    descriptor: ProcessHandleDescriptor
