"""How a cancel reaches a running turn, and which evidence it leaves.

``docs/contracts/sessions.md`` 3.4; docs/adr/0186.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import AWAIT_EVENT_UNSUPPORTED
from lash_core.model.turn_control import TurnCancelEvidence
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.token_race import end_tasks
from lash_core.runtime.turns.cancel_gate import (
    GATE_REVOKED,
    GateCancelled,
    GateOpen,
    GateRevoked,
    GateSealed,
    GateState,
    TurnCancelGate,
    local_evidence,
)
from lash_core.store.effect_host import TurnScopedEffects

SLOW_BEGIN_MS = 500
"""After it a turn that has not begun hears of cancels at its gate: to watch costs a write, and plugins are quick."""


class TurnCancellation:
    """Links the caller's token and the gate to the turn's token, and settles the gate.

    Args:
        gate: of the turn.
        token: the turn's own; what runs in the turn watches it.
        caller: fired by the turn's caller, or None.
        journal: of the turn; while it is replayed no token is fired.
    """

    def __init__(
        self,
        gate: TurnCancelGate,
        token: CancellationToken,
        caller: CancellationToken | None = None,
        journal: TurnScopedEffects | None = None,
    ) -> None:
        self._gate: TurnCancelGate | None = gate
        self._turn_id = gate.address.turn_id
        self._token = token
        self._caller = caller
        self._journal = journal
        self._sealed = False
        self._watcher: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def before_it_begins(self) -> AsyncGenerator[CancellationToken]:
        """A token for what comes before the turn begins: it fires with the caller's and with the turn's own.

        If that takes long, a cancel at the gate fires it too. What the cancel means for the turn is up to ``begin``.
        """
        hurry, watchers = CancellationToken(), list[asyncio.Task[None]]()

        def fire() -> None:
            hurry.cancel()

        def watch() -> None:
            if self._gate is not None:
                watchers.append(asyncio.create_task(_tell_decided(self._gate, hurry)))

        forgets = [token.on_cancel(fire) for token in (self._token, self._caller) if token is not None]
        slow = asyncio.get_running_loop().call_later(SLOW_BEGIN_MS / 1_000, watch)
        try:
            yield hurry
        finally:
            slow.cancel()
            for forget in forgets:
                forget()
            await end_tasks(watchers)

    async def begin(self) -> None:
        """Look at the gate, then watch it and the caller's token.

        A gate that is sealed already belongs to a turn that came to its end and was not committed: nothing stops it.

        Raises:
            RuntimeFailure: ``turn_cancel_gate_unavailable``, ``turn_cancel_gate_revoked``.
        """
        self._loop = asyncio.get_running_loop()
        state = await self._start()
        match state:
            case GateSealed():
                self._sealed = True
                return
            case GateRevoked():
                raise _revoked(self._turn_id)
            case GateCancelled(evidence):
                self._fire(evidence.reason)
            case GateOpen():
                if self._gate is not None:
                    self._watcher = asyncio.create_task(self._watch(self._gate))
        if self._caller is not None and self._caller.cancelled:
            # At once: a turn that was cancelled before it began calls no model.
            self._fire(self._caller.reason)
        elif self._caller is not None:
            self._forget = self._caller.on_cancel(self._on_caller)

    async def settle(self, *, cancelled: bool) -> TurnCancelEvidence | None:
        """The evidence if the turn is a cancelled one, else None: its completion is sealed.

        Args:
            cancelled: the turn ended because of a cancel.

        Raises:
            RuntimeFailure: ``turn_cancel_gate_revoked``. Store errors.
        """
        # What is decided now stands: nobody needs to be told of it any more.
        await self.close()
        if self._sealed:
            return None
        if self._gate is None:
            return local_evidence(self._turn_id, self._token.reason) if cancelled else None
        state = await (self._gate.cancel_locally(self._token.reason) if cancelled else self._gate.seal())
        match state:
            case GateCancelled(evidence):
                return evidence
            case GateRevoked():
                raise _revoked(self._turn_id)
            case _:
                return None

    async def close(self) -> None:
        """Stop watching. May be called twice."""
        forget, self._forget = self._forget, None
        if forget is not None:
            forget()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await end_tasks([watcher])

    async def _start(self) -> GateState:
        gate = self._gate
        try:
            return GateOpen() if gate is None else await gate.start()
        except RuntimeFailure as error:
            if error.code == AWAIT_EVENT_UNSUPPORTED:
                # This program has no secret to sign with: only its own token cancels.
                self._gate = None
                return GateOpen()
            raise

    async def _watch(self, gate: TurnCancelGate) -> None:
        match await gate.decided():
            case GateCancelled(evidence):
                self._fire(evidence.reason)
            case GateRevoked():
                self._fire("the session was deleted")
            case GateSealed():
                return

    def _on_caller(self) -> None:
        loop, caller = self._loop, self._caller
        if loop is not None and caller is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._fire, caller.reason)

    def _fire(self, reason: str | None) -> None:
        journal = self._journal
        if journal is not None and journal.is_replaying:
            # What was recorded happened: it belongs into the history, so the cancel waits for the frontier.
            journal.on_frontier = lambda: self._end(reason)
        else:
            self._end(reason)

    def _end(self, reason: str | None) -> None:
        self._token.cancel(reason or "the turn was cancelled")


async def _tell_decided(gate: TurnCancelGate, hurry: CancellationToken) -> None:
    if not isinstance(await gate.decided(), GateSealed):
        hurry.cancel()


def _revoked(turn_id: str) -> RuntimeFailure:
    return RuntimeFailure(GATE_REVOKED, f"turn `{turn_id}` has no cancel gate any more: its session was deleted")
