"""The durable row as callers see it (contract 1.7)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.base import Model
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import ProcessEventType
from lash_core.model.facts import AbandonRequest, CancelRequest, ProcessExternalRef, ProcessStarted, WaitState
from lash_core.model.fast_build import fast_build
from lash_core.model.process_input import AnyProcessInput, ProcessIdentity
from lash_core.model.registration import ProcessRegistration, RetryPolicy
from lash_core.model.scope import ProcessProvenance, SessionScope


class Running(Model):
    """Not ended; a waiting process is running too."""

    state: Literal["running"] = "running"


class Completed(Model):
    """Ended with a value."""

    state: Literal["completed"] = "completed"
    await_output: AnyAwaitOutput = Field(kw_only=False)


class Failed(Model):
    """Ended with a failure."""

    state: Literal["failed"] = "failed"
    await_output: AnyAwaitOutput = Field(kw_only=False)


class Cancelled(Model):
    """Ended by a cancel request."""

    state: Literal["cancelled"] = "cancelled"
    await_output: AnyAwaitOutput = Field(kw_only=False)


class Abandoned(Model):
    """Ended without an observed outcome."""

    state: Literal["abandoned"] = "abandoned"
    await_output: AnyAwaitOutput = Field(kw_only=False)


AnyProcessStatus = Annotated[Running | Completed | Failed | Cancelled | Abandoned, Field(discriminator="state")]

ProcessStatus = AnyProcessStatus

RUNNING = Running()

_TERMINAL_STATUS = {"completed": Completed, "failed": Failed, "cancelled": Cancelled, "abandoned": Abandoned}


def terminal_status(state: str, output: AnyAwaitOutput) -> AnyProcessStatus:
    """The status of a terminal state with its outcome."""
    return _TERMINAL_STATUS[state](await_output=output)


class ProcessRecord(Model):
    """A row: the registration's facts, and what happened since.

    ``attempt`` counts leases that ended (0 = never claimed), ``deaths`` those in a row that ended by a death without
    progress, ``retries`` how often its retry policy ran it again, ``last_sequence`` is the sequence of the newest event
    (0 = none), ``fenced_writes`` the number of fenced writes accepted. Times are ms since the epoch by the store's
    clock.
    """

    id: str
    input: AnyProcessInput
    disposition: RecoveryDisposition
    identity: ProcessIdentity
    event_types: tuple[ProcessEventType, ...]
    provenance: ProcessProvenance
    env_ref: str | None = None
    wake_target: SessionScope | None = None
    queue: str = "default"
    timeout_ms: int | None = None
    app_version: str | None = None
    version_pin: str | None = None
    retry_policy: RetryPolicy | None = None

    registration_hash: str
    created_at_ms: int
    updated_at_ms: int
    due_at_ms: int | None = None
    status: AnyProcessStatus = RUNNING
    external_ref: ProcessExternalRef | None = None
    wait: WaitState | None = None
    first_started: ProcessStarted | None = None
    abandon_request: AbandonRequest | None = None
    cancel_request: CancelRequest | None = None
    attempt: int = 0
    deaths: int = 0
    retries: int = 0
    last_sequence: int = 0
    fenced_writes: int = 0

    @property
    def is_terminal(self) -> bool:
        """Anything but running."""
        return self.status.state != "running"

    @property
    def await_output(self) -> AnyAwaitOutput | None:
        """The outcome, or None while running."""
        return None if isinstance(self.status, Running) else self.status.await_output

    def event_type(self, name: str) -> ProcessEventType | None:
        """The declared or core type of that name."""
        for event_type in self.event_types:
            if event_type.name == name:
                return event_type
        return None

    def to_registration(self) -> ProcessRegistration:
        """The registration this row was made from; hashes to ``registration_hash`` while the wake target is set."""
        # Built unchecked: a worker makes one for each run, of values that this row carries already.
        return fast_build(
            ProcessRegistration,
            {
                "id": self.id,
                "input": self.input,
                "disposition": self.disposition,
                "identity": self.identity,
                "event_types": self.event_types,
                "provenance": self.provenance,
                "env_ref": self.env_ref,
                "wake_target": self.wake_target,
                "queue": self.queue,
                "due_at_ms": self.due_at_ms,
                "delay_ms": None,
                "timeout_ms": self.timeout_ms,
                "app_version": self.app_version,
                "version_pin": self.version_pin,
                "retry_policy": self.retry_policy,
            },
        )


def new_record(registration: ProcessRegistration, registration_hash: str, now_ms: int) -> ProcessRecord:
    """A fresh row of a validated registration, created at ``now_ms``."""
    due_at_ms = registration.due_at_ms
    if due_at_ms is None and registration.delay_ms is not None:
        due_at_ms = now_ms + registration.delay_ms
    return ProcessRecord.model_construct(
        id=registration.id,
        input=registration.input,
        disposition=registration.disposition,
        identity=registration.resolved_identity,
        event_types=registration.all_event_types,
        provenance=registration.provenance,
        env_ref=registration.env_ref,
        wake_target=registration.wake_target,
        queue=registration.queue,
        timeout_ms=registration.timeout_ms,
        app_version=registration.app_version,
        version_pin=registration.version_pin,
        retry_policy=registration.retry_policy,
        registration_hash=registration_hash,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        due_at_ms=due_at_ms,
    )
