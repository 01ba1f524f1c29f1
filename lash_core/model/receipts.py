"""What a client hands back for a cancel and a signal."""

from __future__ import annotations

from typing import Literal

from lash_core.model.base import Model

CancelOutcome = Literal["requested", "already_requested", "cancelled", "already_terminal"]


class CancelReceipt(Model):
    """Answer of a cancel (decision 21).

    ``requested``: recorded now. ``already_requested``: the same reason was recorded before. ``cancelled``: the process
    has ended as cancelled. ``already_terminal``: it had ended before. ``status`` is the row's state after the call,
    ``seen_at_ms`` when a run saw the request (ms by the server's clock), or None.
    """

    id: str
    outcome: CancelOutcome
    status: str
    seen_at_ms: int | None = None


class SignalReceipt(Model):
    """Answer of a signal: its event's sequence, and ``exists`` when the same ``signal_id`` was there before."""

    id: str
    name: str
    signal_id: str
    sequence: int
    status: Literal["recorded", "exists"]
