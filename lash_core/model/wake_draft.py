"""The queued work that a wake becomes in its target session (contract 1.9). Pure."""

from __future__ import annotations

from typing import Literal

from lash_core.model.base import Model
from lash_core.model.event import ProcessWakeDelivery


class ProcessWakeDraft(Model):
    """A draft for a session's queue; ``source_key`` lets the queue take the same wake once."""

    session_id: str
    source_key: str
    delivery: Literal["earliest_safe_boundary"] = "earliest_safe_boundary"
    slot: Literal["exclusive"] = "exclusive"
    wake: ProcessWakeDelivery

    @classmethod
    def of(cls, delivery: ProcessWakeDelivery) -> ProcessWakeDraft:
        """The draft of a delivery: at the earliest safe boundary of the target, in a turn of its own."""
        return cls(session_id=delivery.target_session_id, source_key=delivery.source_key, wake=delivery)
