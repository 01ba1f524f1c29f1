"""Facts beside the status of a row.

Start, abandon request, wait, external reference, cancel (contract 1.11, decision 21).
"""

from __future__ import annotations

from typing import Literal

from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.limits import Limits
from lash_core.model.owner import LeaseOwnerIdentity


class ProcessStarted(Model):
    """First start: the worker's configured identity and the time. The first writer wins."""

    owner: LeaseOwnerIdentity
    started_at_ms: int


class AbandonRequest(Model):
    """Somebody allows the process to be abandoned. The first writer wins."""

    requested_by: str
    requested_at_ms: int
    reason: str | None = None


class SignalWait(Model):
    """Waiting for the ``ordinal``-th signal of a name; ``key`` is ``process:<pid>:signal.<name>:<ordinal>``."""

    type: Literal["signal"] = "signal"
    name: str
    event_type: str
    key: str
    ordinal: int


class WaitState(Model):
    """What a process waits for, since when. A facet: a waiting process is still running."""

    since_ms: int
    kind: SignalWait


class ProcessExternalRef(Model):
    """The name of the process in another system. The first assignment sticks."""

    backend: str
    id: str
    metadata: JsonValue = None

    def validated(self, limits: Limits) -> ProcessExternalRef:
        """A copy of its own when it is canonical JSON within the payload limit.

        Raises:
            InvalidJsonError, LimitExceededError: naming the field.
        """
        text = canonical_json(self.to_json_value(), field="external_ref")
        limits.check_payload_size(len(text.encode()), field="external_ref")
        return ProcessExternalRef.model_validate_json(text)

    def same_as(self, other: ProcessExternalRef) -> bool:
        """Equal in backend, id and metadata, compared as JSON: 1 and 1.0 and true are three values."""
        return canonical_json(self.to_json_value()) == canonical_json(other.to_json_value())


class CancelRequest(Model):
    """The first cancel request of a row, kept beside its event."""

    requested_at_ms: int
    requested_by: str | None = None
    reason: str | None = None
    seen_at_ms: int | None = None


class ProcessHandleDescriptor(Model):
    """How a handle describes its process to its holder."""

    kind: str | None = None
    label: str | None = None


class ProcessHandleGrant(Model):
    """A scope's capability on a process."""

    session_id: str
    process_id: str
    scope_id: str
    descriptor: ProcessHandleDescriptor
