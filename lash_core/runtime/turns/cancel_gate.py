"""A turn's cancel gate and its published end: two promises of the turn's scope (``sessions.md`` 1.16, 3.4; ADR 0186).

The gate is resolved once, by a cancel or by the turn's completion seal. The first writer wins, and every side goes by
what stands afterwards: a cancel that was told ``requested`` is the turn's outcome, whatever the turn had done by then.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from lash_core.errors import LashError, RuntimeFailure
from lash_core.model.await_event import (
    AWAIT_EVENT_UNSUPPORTED,
    UNKNOWN_OR_REVOKED,
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    UnknownOrRevoked,
    WaitIdentity,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.turn_control import (
    TurnAddress,
    TurnCancelEvidence,
    TurnCancelReceipt,
    TurnCancelRequest,
    TurnTerminal,
)
from lash_core.store.effect_host import AwaitEventResolver

_log = logging.getLogger(__name__)

GATE_UNAVAILABLE = "turn_cancel_gate_unavailable"
GATE_REVOKED = "turn_cancel_gate_revoked"

START_ATTEMPTS_MAX = 3
RETRY_DELAY_MS = 25
RETRY_DELAY_MAX_MS = 1_000
"""Looks at the gate: before the turn three, then it fails to start; while it runs for ever, doubling up to this."""


@dataclass(frozen=True, slots=True)
class GateOpen:
    """Nobody has decided."""


@dataclass(frozen=True, slots=True)
class GateCancelled:
    """A cancel was first."""

    evidence: TurnCancelEvidence


@dataclass(frozen=True, slots=True)
class GateSealed:
    """The turn's completion was first: no cancel comes through any more."""


@dataclass(frozen=True, slots=True)
class GateRevoked:
    """The session was deleted."""


GateState = GateOpen | GateCancelled | GateSealed | GateRevoked


class TurnCancelGate:
    """The gate of one turn, from any program of the fleet.

    Args:
        await_events: the promises of the host.
        address: the turn.
        durability_tier: what a receipt reports.
    """

    def __init__(
        self, await_events: AwaitEventResolver, address: TurnAddress, *, durability_tier: str = "inline"
    ) -> None:
        self._events = await_events
        self._address = address
        self._tier = durability_tier
        self._key: AwaitEventKey | None = None

    @property
    def address(self) -> TurnAddress:
        """The turn."""
        return self._address

    # -- from outside ----------------------------------------------------------------------------------

    async def request(self, request: TurnCancelRequest) -> TurnCancelReceipt:
        """Ask for the cancel, also before the turn begins. Safe to repeat: the first request's evidence is answered.

        Raises:
            StoreUnreachableError, OutcomeUnknownError: ask again with the same request.
        """
        match await self._resolve(_cancel(request.evidence)):
            case None:
                return self._receipt("requested", request.evidence)
            case GateCancelled(evidence):
                return self._receipt("already_requested", evidence)
            case GateSealed():
                return self._receipt("completion_won_race")
            case _:
                return self._receipt("unknown_or_revoked")

    async def wait_terminal(self, *, timeout_ms: int | None = None) -> TurnTerminal:
        """Wait for the turn's end.

        Raises:
            RuntimeFailure: ``turn_control_wait_timeout``; ``await_event_unknown_or_revoked``.
        """
        resolution = await self._events.await_event(self._terminal_key(), timeout_ms=timeout_ms)
        return TurnTerminal.model_validate(resolution.value)

    # -- from the turn ---------------------------------------------------------------------------------

    async def start(self) -> GateState:
        """Look before the turn begins.

        Raises:
            RuntimeFailure: ``turn_cancel_gate_unavailable`` after three tries, ``await_event_unsupported`` at once;
                nothing has happened.
        """
        delay_ms = RETRY_DELAY_MS
        for attempt in range(1, START_ATTEMPTS_MAX + 1):
            try:
                return await self._peek()
            except (LashError, OSError) as error:
                if isinstance(error, RuntimeFailure) and error.code == AWAIT_EVENT_UNSUPPORTED:
                    raise
                if attempt == START_ATTEMPTS_MAX:
                    raise RuntimeFailure(
                        GATE_UNAVAILABLE,
                        f"the cancel gate of turn `{self._address.turn_id}` could not be read {attempt} times: {error}",
                    ) from error
            await asyncio.sleep(delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, RETRY_DELAY_MAX_MS)
        raise AssertionError("unreachable: the last try returns or raises")

    async def decided(self) -> GateCancelled | GateSealed | GateRevoked:
        """Wait until somebody decides; a store that fails is asked again for ever."""
        delay_ms = RETRY_DELAY_MS
        while True:
            try:
                await self._events.await_event(self._gate_key())
                state = await self._peek()
            except RuntimeFailure as error:
                if error.code == UNKNOWN_OR_REVOKED:
                    return GateRevoked()
                _log.debug("waiting at the cancel gate of %s failed", self._address.turn_id, exc_info=True)
            except (LashError, OSError):
                _log.debug("waiting at the cancel gate of %s failed", self._address.turn_id, exc_info=True)
            else:
                if not isinstance(state, GateOpen):
                    return state
            await asyncio.sleep(delay_ms / 1_000)
            delay_ms = min(delay_ms * 2, RETRY_DELAY_MAX_MS)

    async def cancel_locally(self, reason: str | None = None) -> GateState:
        """Put the evidence of a cancel from inside into the gate; answers what stands."""
        evidence = local_evidence(self._address.turn_id, reason)
        return await self._resolve(_cancel(evidence)) or GateCancelled(evidence)

    async def seal(self) -> GateState:
        """Seal the completion; answers what stands.

        Raises:
            StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: seal again.
        """
        return await self._resolve(Resolution.ok({"type": "completion_sealed"})) or GateSealed()

    async def publish(self, terminal: TurnTerminal) -> bool:
        """Publish the end for whoever waits. A failure is logged and changes nothing; the first end stands."""
        try:
            await self._events.resolve(self._terminal_key(), Resolution.ok(terminal.to_json_value()))
        except (LashError, OSError):
            _log.warning("the end of turn %s could not be published", self._address.turn_id, exc_info=True)
            return False
        return True

    # -- inside ----------------------------------------------------------------------------------------

    async def _peek(self) -> GateState:
        try:
            found = await self._events.peek(self._gate_key())
        except RuntimeFailure as error:
            if error.code == UNKNOWN_OR_REVOKED:
                return GateRevoked()
            raise
        return GateOpen() if found is None else _state_of(found)

    async def _resolve(self, resolution: Resolution) -> GateState | None:
        """None: ours stands."""
        try:
            outcome = await self._events.resolve(self._gate_key(), resolution)
        except RuntimeFailure as error:
            if error.code == UNKNOWN_OR_REVOKED:
                return GateRevoked()
            raise
        match outcome:
            case Accepted():
                return None
            case AlreadyResolved(terminal):
                return _state_of(terminal)
            case UnknownOrRevoked():
                return GateRevoked()

    def _gate_key(self) -> AwaitEventKey:
        if self._key is None:
            self._key = self._events.mint(self._scope(), WaitIdentity.turn_cancel_gate())
        return self._key

    def _terminal_key(self) -> AwaitEventKey:
        return self._events.mint(self._scope(), WaitIdentity.turn_terminal())

    def _scope(self) -> ExecutionScope:
        return ExecutionScope.turn(self._address.session_id, self._address.turn_id)

    def _receipt(self, outcome: Any, evidence: TurnCancelEvidence | None = None) -> TurnCancelReceipt:
        return TurnCancelReceipt(outcome=outcome, evidence=evidence, durability_tier=self._tier)


def local_evidence(turn_id: str, reason: str | None = None) -> TurnCancelEvidence:
    """The evidence of a cancel by the turn's own caller."""
    return TurnCancelEvidence(f"internal:{turn_id}", origin="internal", reason=reason)


def _cancel(evidence: TurnCancelEvidence) -> Resolution:
    return Resolution.ok({"type": "cancel_requested", "evidence": evidence.to_json_value()})


def _state_of(resolution: Resolution) -> GateState:
    match resolution.value:
        case {"type": "cancel_requested", "evidence": evidence}:
            try:
                return GateCancelled(TurnCancelEvidence.model_validate(evidence))
            except ValidationError:
                return GateCancelled(TurnCancelEvidence("unknown"))
        case {"type": "completion_sealed"}:
            return GateSealed()
        case _:
            # Resolved by somebody who holds the key and knows nothing of turns: taken for a cancel, the safe side.
            return GateCancelled(TurnCancelEvidence("unknown", origin="unknown"))
