"""Cancelling a turn from anywhere, and hearing of its end (``docs/contracts/sessions.md`` 1.16, 3.4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from lash_core.model.base import JsonValue, Model


class TurnAddress(Model):
    """One turn of one session."""

    session_id: str = Field(kw_only=False)
    turn_id: str = Field(kw_only=False)


class TurnCancelEvidence(Model):
    """Who asked for the cancel. A local cancel has the request id ``internal:<turn_id>``."""

    request_id: str = Field(kw_only=False)
    origin: str | None = None
    reason: str | None = None


class TurnCancelRequest(Model):
    """Asks for the cancel of a turn; may come before the turn starts. Safe to repeat under its ``request_id``."""

    address: TurnAddress
    request_id: str
    origin: str | None = None
    reason: str | None = None

    @field_validator("request_id")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("request_id must not be blank")
        return value

    @property
    def evidence(self) -> TurnCancelEvidence:
        """What is recorded of it."""
        return TurnCancelEvidence(self.request_id, origin=self.origin, reason=self.reason)


class TurnCancelReceipt(Model):
    """What came of a cancel request. ``evidence`` is that of the first request where there is one."""

    outcome: Literal["requested", "already_requested", "completion_won_race", "unknown_or_revoked"]
    evidence: TurnCancelEvidence | None = None
    durability_tier: str = "inline"


class TurnTerminal(Model):
    """The end of a turn, published for whoever waits. ``outcome`` is a ``TurnOutcome``'s JSON."""

    type: Literal["committed", "failed"]
    outcome: JsonValue = None
    cancellation: TurnCancelEvidence | None = None
    session_revision: int | None = None
    code: str | None = None
    message: str | None = None
