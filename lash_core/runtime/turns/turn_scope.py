"""What every part of one physical turn shares: who it is, its effects, its token, its listeners."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from lash_core.clock import Clock, SystemClock
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.event import Replay
from lash_core.model.scope import CausalRef
from lash_core.model.turn_activity import TurnEvent
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.turn_activities import TurnEventSender, TurnFollower, send_turn_activity
from lash_core.runtime.turn_context import RuntimeNamedPhase, RuntimeTurnPhaseProbe
from lash_core.store.effect_host import ScopedEffects


def new_run_id() -> str:
    """The name of a run of a turn that was begun before."""
    return uuid.uuid4().hex[:8]


@dataclass(frozen=True, slots=True)
class TurnScope:
    """One physical turn.

    Attributes:
        effects: journaled under the session's lease where the host journals; they answer recorded outcomes on a redo.
        cancellation: fired by a cancel, by the loss of the lease, or by the caller; ``cancellation.reason`` says why.
        sender: takes live activity, or None.
        run_id: tells the live text of a redo from that of the run before; "" = the first run.
        probe: told of named phases, or None.
        clock: of this machine, for times that people read; nothing is decided by it.
    """

    session_id: str
    turn_id: str
    turn_index: int
    effects: ScopedEffects
    agent_frame_id: str = ""
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    sender: TurnEventSender | None = None
    run_id: str = ""
    probe: RuntimeTurnPhaseProbe | None = None
    clock: Clock = field(default_factory=SystemClock)

    def envelope(
        self,
        effect_id: str,
        kind: EffectKind,
        args: dict[str, object],
        *,
        iteration: int | None = None,
        caused_by: CausalRef | None = None,
    ) -> RuntimeEffectEnvelope:
        """The envelope of an effect of this turn; its replay key is ``turn:<turn_id>:<effect_id>``."""
        scope = RuntimeScope(
            session_id=self.session_id,
            turn_id=self.turn_id,
            turn_index=self.turn_index,
            protocol_iteration=iteration,
        )
        return RuntimeEffectEnvelope.create(
            RuntimeInvocation(
                scope=scope,
                subject=EffectSubject(effect_id=effect_id, kind=kind),
                caused_by=caused_by or CausalRef(kind="turn", session_id=self.session_id, turn_id=self.turn_id),
                replay=Replay(key=f"turn:{self.turn_id}:{effect_id}"),
            ),
            RuntimeEffectCommand(kind=kind, args=args),
        )

    async def send(self, correlation_id: str, event: TurnEvent) -> None:
        """Stream an event to whoever watches; nobody has to."""
        await send_turn_activity(self.sender, correlation_id, event)

    @property
    def tells_again(self) -> bool:
        """True when whoever listens is told again what is answered from the journal."""
        return isinstance(self.sender, TurnFollower)

    def correlation(self, name: str) -> str:
        """``<turn id>:<name>``, in a redo with the run behind it: what an earlier run said can be taken back alone."""
        return f"{self.turn_id}:{name}:{self.run_id}" if self.run_id else f"{self.turn_id}:{name}"

    def phase(self, name: str) -> RuntimeNamedPhase:
        """Begin a named phase; leave it with ``with`` or ``end()``."""
        return RuntimeNamedPhase(self.probe, name)
