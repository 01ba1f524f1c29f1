"""Effect hosts and controllers: the boundary that every side effect of a run crosses (contract section 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, runtime_checkable

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import AwaitEventKey, Resolution, ResolveOutcome, WaitIdentity
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_record import ChildStart, EffectRecord
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.store.turn_journal import TurnJournal

EffectSource = Literal["run", "replay"]
"""Whether an effect's executor was called or its recorded outcome answered."""


class RuntimeEffectLocalExecutor(Protocol):
    """Does the effect in this program, once. What it is given may ask for less than the caller did: a wait's remainder.

    An async function is one. What it raises is recorded like an outcome and raised again on replay, but for
    ``asyncio.CancelledError`` and errors of the store.
    """

    async def __call__(self, envelope: RuntimeEffectEnvelope, /) -> RuntimeEffectOutcome:
        """Do it."""
        ...


@runtime_checkable
class StartsProcess(Protocol):
    """An executor that starts a process. A journal that can do so itself, atomically with its entry, does not call it.

    The registration is not part of the envelope: a manifest may change between two attempts of the parent, the request
    of the parent does not. The outcome's value is then ``{"id": <process id>}``.
    """

    @property
    def child_start(self) -> ChildStart:
        """What to start."""
        ...


@runtime_checkable
class RuntimeEffectController(Protocol):
    """Decides whether an effect runs or its recorded outcome is answered."""

    def durability_tier(self) -> DurabilityTier:
        """``durable`` only when journal and waits survive the loss of this OS process (contract 1.13)."""
        ...

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Answer the effect's outcome; an inline controller always runs it.

        Raises:
            Whatever the executor raises.
        """
        ...


@runtime_checkable
class AwaitEventResolver(Protocol):
    """Promises by signed key (contract 5.5). The first resolution wins."""

    def mint(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
        """Make a key; pure, stores nothing and asks nobody.

        Raises:
            RuntimeFailure: ``await_event_unsupported`` where this host has no secret; a blank scope or identity.
        """
        ...

    async def await_event_key(self, scope: ExecutionScope, wait: WaitIdentity) -> AwaitEventKey:
        """``mint``, refused for a revoked session.

        Raises:
            RuntimeFailure: as ``mint``; ``await_event_unknown_or_revoked`` for a revoked session.
        """
        ...

    async def resolve(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """Resolve a promise, also before anybody waits. A bad key is an answer and creates nothing."""
        ...

    async def peek(self, key: AwaitEventKey) -> Resolution | None:
        """The resolution, or None while there is none.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``.
        """
        ...

    async def await_event(self, key: AwaitEventKey, *, timeout_ms: int | None = None) -> Resolution:
        """Wait for the resolution. When the time is over, the promise itself ends as ``timeout``.

        Raises:
            RuntimeFailure: ``await_event_unknown_or_revoked``; ``turn_control_wait_timeout`` for turn control.
        """
        ...

    async def cancel_session(self, session_id: str) -> int:
        """End the pending waits of a session's scopes as cancelled, but for turn control; returns how many."""
        ...

    async def cancel_scope(self, scope: ExecutionScope) -> int:
        """End the pending waits of one scope as cancelled: the way for processes, which have no session."""
        ...

    async def forget_scopes(self, session_id: str, scopes: Sequence[ExecutionScope]) -> int:
        """Delete what is left of scopes of one session that ended long ago; returns how many promises."""
        ...

    async def revoke_session(self, session_id: str) -> None:
        """Delete a session's promises, wake their waiters with the error, refuse its keys from now on."""
        ...


class AwaitEventDoor(Protocol):
    """What controllers and hosts offer of their promises, under the names of the contract."""

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of the host."""
        ...

    async def await_event_key(self, scope: ExecutionScope, identity: WaitIdentity) -> AwaitEventKey:
        """As ``AwaitEventResolver.await_event_key``."""
        ...

    async def resolve_await_event(self, key: AwaitEventKey, resolution: Resolution) -> ResolveOutcome:
        """As ``AwaitEventResolver.resolve``."""
        ...

    async def peek_await_event(self, key: AwaitEventKey) -> Resolution | None:
        """As ``AwaitEventResolver.peek``."""
        ...


@runtime_checkable
class ScopedEffects(AwaitEventDoor, Protocol):
    """A controller bound to one execution scope."""

    @property
    def scope(self) -> ExecutionScope:
        """The scope."""
        ...

    @property
    def scope_id(self) -> str:
        """The scope's id."""
        ...

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """As ``RuntimeEffectController.execute_effect``, in this scope."""
        ...


class EffectRun(Protocol):
    """What a journaling host asks of the run whose effects it journals; the worker's held run is one."""

    @property
    def process_id(self) -> str:
        """The process that runs."""
        ...

    @property
    def is_fresh(self) -> bool:
        """True when no entry of its journal can exist: nobody ran or wrote to the row before."""
        ...

    def require(self) -> ProcessLease:
        """The lease, for a fenced write. Raises: LeaseLostError once it is lost."""
        ...

    async def ready_for_effects(self) -> None:
        """Return when a new effect may start: not while renewals are missing. Raises: LeaseLostError."""
        ...

    def working(self) -> AbstractContextManager[None]:
        """Around an effect and its records, but not around its wait: the run keeps its slot and is not parked.

        Raises:
            asyncio.CancelledError: the run ends here.
        """
        ...

    def unrecorded_start(self) -> ProcessStarted | None:
        """The start fact as long as the row has none: it rides in the first fenced write (DESIGN 4)."""
        ...


class TurnRun(Protocol):
    """What a journaling host asks of the turn whose effects it journals: they are fenced by its session's lease."""

    @property
    def session_id(self) -> str:
        """The session."""
        ...

    @property
    def turn_id(self) -> str:
        """The physical turn."""
        ...

    @property
    def is_fresh(self) -> bool:
        """True when no entry of its journal can exist."""
        ...

    @property
    def journal(self) -> TurnJournal:
        """Where its effects are recorded: the session's store."""
        ...

    def require(self) -> SessionExecutionLeaseFence:
        """The fence, for a write. Raises: RuntimeFailure, ``session_execution_lease_lost``."""
        ...

    def lose(self, why: str) -> None:
        """A write was refused: the lease is somebody else's."""
        ...


class TurnScopedEffects(ScopedEffects, Protocol):
    """The effects of one physical turn: what the turn asks of it beside executing.

    Attributes:
        on_frontier: called once when an effect is asked for that is not recorded, just before it begins: the way in for
            a cancel that waits for the replay to be over.
    """

    on_frontier: Callable[[], None] | None

    @property
    def mismatch(self) -> RuntimeFailure | None:
        """The first effect that was recorded for another request, or the journal's end; None while all is well."""
        ...

    @property
    def is_replaying(self) -> bool:
        """True while recorded entries are left that were not asked for, and nothing new was."""
        ...

    async def load(self) -> None:
        """Read the journal unless it was read; effects do so by themselves. Raises: store errors."""
        ...

    def find(self, key: str) -> EffectRecord | None:
        """The entry of a replay key, among those that were read or written."""
        ...

    def taking(self, key: str, batch_ids: Sequence[str]) -> None:
        """The entry that will be written under ``key`` takes queued work in: the open turn notes it in the same write.

        Such batches cannot be cancelled any more.
        """
        ...


class RunScopedEffects(ScopedEffects, Protocol):
    """The effects of one run of a process: what engine and worker ask of it beside executing.

    Attributes:
        on_frontier: called once when an effect or wait is asked for that is not recorded, just before it begins; the
            way in for a cancel that waits for the replay to be over.
        on_effect: told of each effect: its kind, and whether it ran or was answered from the journal.
    """

    on_frontier: Callable[[], None] | None
    on_effect: Callable[[EffectKind, EffectSource], None] | None

    @property
    def mismatch(self) -> RuntimeFailure | None:
        """The first effect that was recorded for another request: the process ends as failed with it."""
        ...

    @property
    def is_replaying(self) -> bool:
        """True while recorded entries are left that were not asked for, and nothing new was."""
        ...

    async def load(self) -> None:
        """Read the journal unless it was read; effects do so by themselves. Raises: store errors."""
        ...

    async def has_entries(self) -> bool:
        """True when the journal has an entry; reads it when it was not read yet. Raises: store errors."""
        ...

    def failed_keys(self) -> tuple[str, ...]:
        """Replay keys of the recorded failures: a retry of the whole process drops them."""
        ...

    def unrecorded_start(self) -> ProcessStarted | None:
        """The start fact as long as no write of this run carried it."""
        ...

    def refuse(self) -> None:
        """From now on every effect raises ``asyncio.CancelledError``: the run ended or leaves memory."""
        ...


@runtime_checkable
class EffectHost(AwaitEventDoor, Protocol):
    """Makes scoped controllers."""

    def durability_tier(self) -> DurabilityTier:
        """The tier of its controllers."""
        ...

    def scoped(self, scope: ExecutionScope) -> ScopedEffects:
        """A controller for ``scope``.

        Raises:
            RuntimeFailure: ``missing_execution_scope_id``.
        """
        ...

    def scoped_static(self, scope: ExecutionScope) -> ScopedEffects | None:
        """A controller that may outlive the caller's turn, which a worker needs; None where a host has none.

        Raises:
            RuntimeFailure: ``missing_execution_scope_id``.
        """
        ...


@runtime_checkable
class JournalingEffectHost(EffectHost, Protocol):
    """A host whose process scopes are journaled under the run's own lease (decision 18)."""

    def scoped_run(self, run: EffectRun) -> RunScopedEffects:
        """A controller for ``process(<pid>)`` that journals under the lease of ``run``."""
        ...

    def scoped_turn(self, run: TurnRun) -> TurnScopedEffects:
        """A controller for ``turn(<session>, <turn>)`` that journals under the session's lease."""
        ...
