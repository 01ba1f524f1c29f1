"""What a handle on a session answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lash_core.model.base import Model
from lash_core.model.queued_work import QueuedWorkBatch
from lash_core.model.session import SessionMeta
from lash_core.model.session_commit import PersistedSessionRead
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.model.turn_input import PendingTurnInput

CancelInputOutcome = Literal["cancelled", "already_claimed", "already_completed", "already_cancelled", "not_found"]


class CancelInputReceipt(Model):
    """What a cancel of an input found. ``already_claimed``: a turn has taken it in and will answer it."""

    session_id: str
    input_id: str
    outcome: CancelInputOutcome


class ParkReceipt(Model):
    """A session that is in nobody's memory. ``head_revision`` 0 = nothing was committed yet."""

    session_id: str
    head_revision: int
    queued: int


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of a session at one time. ``read`` is None before the first commit; it has the active path."""

    meta: SessionMeta
    read: PersistedSessionRead | None
    queue: tuple[QueuedWorkBatch, ...]
    inputs: tuple[PendingTurnInput, ...]
    lease: SessionExecutionLease | None
