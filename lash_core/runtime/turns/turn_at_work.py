"""One physical turn while it runs: its scope, its lease, the state that it works on, what it did so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lash_core.errors import RuntimeFailure
from lash_core.model.message import Message
from lash_core.model.scope import CausalRef
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.session.lease_guard import SessionLeaseGuard, SessionLeaseLostError
from lash_core.runtime.turn_activities import TurnEventSender
from lash_core.runtime.turns.turn_claims import TurnClaims
from lash_core.runtime.turns.turn_given import TurnGiven
from lash_core.runtime.turns.turn_log import TurnLog
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.store.effect_host import TurnScopedEffects
from lash_core.store.turn_journal import TurnJournal

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


@dataclass(frozen=True, slots=True)
class LogicalWork:
    """What all physical turns of a logical one share.

    Attributes:
        runtime: the session.
        guard: its lease; None without a store.
        cancellation: the caller's token, or None.
        sender: takes live activity.
        keeps_lease: the caller's guard outlives the turn: the last commit does not release it.
    """

    runtime: LashRuntime
    guard: SessionLeaseGuard | None = None
    cancellation: CancellationToken | None = None
    sender: TurnEventSender | None = None
    keeps_lease: bool = False


class HeldTurn:
    """``TurnRun`` of a turn under a guard."""

    __slots__ = ("_guard", "_is_fresh", "_journal", "_turn_id")

    def __init__(self, guard: SessionLeaseGuard, journal: TurnJournal, turn_id: str, *, is_fresh: bool) -> None:
        self._guard = guard
        self._journal = journal
        self._turn_id = turn_id
        self._is_fresh = is_fresh

    @property
    def session_id(self) -> str:
        """The session."""
        return self._guard.session_id

    @property
    def turn_id(self) -> str:
        """The physical turn."""
        return self._turn_id

    @property
    def is_fresh(self) -> bool:
        """True when no entry of its journal can exist."""
        return self._is_fresh

    @property
    def journal(self) -> TurnJournal:
        """The session's store."""
        return self._journal

    def require(self) -> SessionExecutionLeaseFence:
        """The fence. Raises: SessionLeaseLostError."""
        return self._guard.require()

    def lose(self, why: str) -> None:
        """A write was refused."""
        self._guard.lose(why)


@dataclass(slots=True)
class TurnAtWork:
    """A physical turn.

    Attributes:
        draft: the copy of the state that the turn works on; it becomes the state with the commit.
        journal: the turn's effects where they are journaled; None = a host that records nothing.
        prefix: what the model sees before the turn's own messages, transforms applied.
        stored_nodes: nodes of the draft that the store has.
    """

    work: LogicalWork
    given: TurnGiven
    scope: TurnScope
    draft: RuntimeSessionState
    log: TurnLog
    claims: TurnClaims
    journal: TurnScopedEffects | None = None
    prefix: tuple[Message, ...] = ()
    own_from: int = 0
    stored_nodes: int = 0

    @property
    def runtime(self) -> LashRuntime:
        """The session."""
        return self.work.runtime

    @property
    def turn_id(self) -> str:
        """The turn."""
        return self.given.turn_id

    @property
    def is_cancelled(self) -> bool:
        """True once the turn's token was fired."""
        return self.scope.cancellation.cancelled

    def require_lease(self) -> None:
        """Nothing more is done once the lease is lost.

        Raises:
            SessionLeaseLostError.
        """
        if self.work.guard is not None:
            self.work.guard.require()

    def fence(self) -> SessionExecutionLeaseFence:
        """The fence of a write.

        Raises:
            SessionLeaseLostError. RuntimeFailure: there is no store.
        """
        if self.work.guard is None:
            raise RuntimeFailure("session_store_required", "a session without a store has no lease")
        return self.work.guard.require()

    def lost_error(self) -> SessionLeaseLostError | None:
        """The error of a lost lease, or None."""
        guard = self.work.guard
        return guard.lost_error() if guard is not None and guard.is_lost else None

    def append(self, message: Message) -> Message:
        """Append a message of the turn to the history; one without an id gets the turn's next, transient ones none.

        A message whose id the history has already is not appended twice.
        """
        if message.transient:
            return message
        if not message.id.strip():
            message = message.model_copy(update={"id": f"m_{self.turn_id}_{len(self.log.messages)}"})
        if self.draft.session_graph.find_node(message.id) is not None:
            return message
        self.draft.session_graph.append_message(
            message,
            agent_frame_id=self.draft.current_agent_frame_id,
            caused_by=CausalRef(kind="turn", session_id=self.draft.session_id, turn_id=self.turn_id),
            timestamp_ms=self.scope.clock.now_ms(),
        )
        self.log.messages.append(message)
        return message
