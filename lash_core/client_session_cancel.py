"""Cancelling the turn of a session from any program (``docs/contracts/turns.md`` 3)."""

from __future__ import annotations

from lash_core.client_enqueue import new_process_id
from lash_core.errors import UnknownSessionError
from lash_core.model.base import Model
from lash_core.model.turn_control import TurnAddress, TurnCancelReceipt, TurnCancelRequest
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from lash_core.runtime.turns.cancel_gate import TurnCancelGate
from lash_core.store.client_stores import ClientStores


class CancelTurnReceipt(Model):
    """What a cancel of a turn found. ``receipt`` None: no turn was open."""

    session_id: str
    turn_id: str | None = None
    receipt: TurnCancelReceipt | None = None

    @property
    def outcome(self) -> str:
        """The receipt's, or ``no_turn``."""
        return "no_turn" if self.receipt is None else self.receipt.outcome


async def cancel_turn(
    stores: ClientStores,
    session_id: str,
    *,
    turn_id: str | None = None,
    reason: str | None = None,
    request_id: str | None = None,
) -> CancelTurnReceipt:
    """Ask for the cancel of a turn: durable, and the turn decides nothing about it once it was asked.

    Args:
        stores: of the server.
        session_id: the session.
        turn_id: a turn, which need not have begun; None: the one that is open now.
        reason: for the record and for whoever reads the turn's outcome.
        request_id: the same one again is the same request; a fresh one by default.

    Raises:
        UnknownSessionError. OutcomeUnknownError: ask again with the same ``request_id``.
    """
    store = await stores.session_store_factory.open_existing_store(session_id)
    if store is None:
        raise UnknownSessionError(session_id)
    if turn_id is None:
        found = await store.load_open_turn(session_id)
        if found is None:
            return CancelTurnReceipt(session_id=session_id)
        turn_id = found.turn_id
    gate = TurnCancelGate(
        StoredAwaitEvents(stores.promises),
        TurnAddress(session_id, turn_id),
        durability_tier=stores.promises.durability_tier().value,
    )
    request = TurnCancelRequest(
        address=gate.address,
        request_id=f"client:{new_process_id()}" if request_id is None else request_id,
        origin="client",
        reason=reason,
    )
    return CancelTurnReceipt(session_id=session_id, turn_id=turn_id, receipt=await gate.request(request))
