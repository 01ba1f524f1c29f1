"""Items and answers of the registry's batch forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lash_core.errors import LashError
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, ReleaseReason
from lash_core.model.record import ProcessRecord


@dataclass(frozen=True, slots=True)
class RegisterOutcome:
    """Answer of one item: ``created`` or ``exists`` with its row, or ``error`` with the error a single call raises."""

    status: Literal["created", "exists", "error"]
    process_id: str
    record: ProcessRecord | None = None
    error: LashError | None = None


@dataclass(frozen=True, slots=True)
class LeasedCompletion:
    """One outcome to write under a lease."""

    lease: ProcessLease
    output: AnyAwaitOutput
    first_started: ProcessStarted | None = None


@dataclass(frozen=True, slots=True)
class LeasedRelease:
    """One lease to give back."""

    lease: ProcessLease
    reason: ReleaseReason
    first_started: ProcessStarted | None = None
    """Recorded in the same unit when the row has none; of parked runs."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """Answer of one item: done, or the error a single call raises."""

    process_id: str
    error: LashError | None = None
