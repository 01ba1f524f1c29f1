"""A session at work: its state, plugins and stores, and the verbs that its hosts call.

What the verbs do is in modules of their own: ``runtime_lifecycle`` builds, ``runtime_parking`` stores and reads back,
``session`` edits and enqueues, ``managed_sessions`` has the children, ``turns`` runs turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lash_core.errors.session import SessionError
from lash_core.model.message import Message
from lash_core.model.model_call import ModelResponse
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import QueuedWorkBatch, SessionCommandPayload
from lash_core.model.session import SessionPolicy
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.turn_control import TurnCancelReceipt, TurnCancelRequest
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime import runtime_lifecycle, runtime_parking
from lash_core.runtime.background.capability import BackgroundTaskCapability
from lash_core.runtime.background.monitors import arm_monitors
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.runtime_host import EmbeddedRuntimeHost, ProcessRuntimeHost, RuntimeHost
from lash_core.runtime.runtime_parking import ParkedSession
from lash_core.runtime.runtime_services import PersistentRuntimeServices, RuntimeServices
from lash_core.runtime.session import commands as session_commands
from lash_core.runtime.session.child_starts import CreateSessionRequest
from lash_core.runtime.session.direct_completions import DIRECT_SOURCE, complete_directly
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.runtime.session.managed_sessions import ManagedSessions
from lash_core.runtime.session.managed_turns import ManagedSession
from lash_core.runtime.session.verbs import SessionVerbs
from lash_core.runtime.turn_activities import TurnEventSender
from lash_core.runtime.turns import logical_turn
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder

__all__ = ["LashRuntime", "ParkedSession", "RuntimeEnvironment", "RuntimeSessionState"]


class LashRuntime(SessionVerbs):
    """One session in memory. Build it with ``from_environment``, ``resume`` or ``EmbeddedRuntimeBuilder``.

    Not safe for concurrent turns: one writer a session, also within a program.
    """

    def __init__(
        self, state: RuntimeSessionState, policy: SessionPolicy, host: RuntimeHost, services: RuntimeServices
    ) -> None:
        super().__init__(state, policy, host, services)
        self._managed_sessions: ManagedSessions | None = None
        self._background_tasks: BackgroundTaskCapability | None = None

    # -- construction (``docs/contracts/sessions.md`` 2.7) ---------------------------------------------

    @staticmethod
    def builder() -> EmbeddedRuntimeBuilder:
        """An empty builder."""
        from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder  # noqa: PLC0415 - it builds this class

        return EmbeddedRuntimeBuilder()

    @classmethod
    async def from_embedded_state(
        cls, policy: SessionPolicy, host: EmbeddedRuntimeHost, services: RuntimeServices, state: RuntimeSessionState
    ) -> LashRuntime:
        """A runtime that keeps nothing and starts no processes. Raises: SessionError, PluginSessionError."""
        return await runtime_lifecycle.from_host_state(cls, policy, host.into_runtime_host(), services, state)

    @classmethod
    async def from_background_state(
        cls, policy: SessionPolicy, host: ProcessRuntimeHost, services: RuntimeServices, state: RuntimeSessionState
    ) -> LashRuntime:
        """A runtime that keeps nothing and may start processes. Raises: SessionError, PluginSessionError."""
        return await runtime_lifecycle.from_host_state(cls, policy, host.into_runtime_host(), services, state)

    @classmethod
    async def from_persistent_embedded_state(
        cls,
        policy: SessionPolicy,
        host: EmbeddedRuntimeHost,
        services: PersistentRuntimeServices,
        state: RuntimeSessionState,
    ) -> LashRuntime:
        """A runtime with a store that starts no processes. Raises: SessionError, PluginSessionError."""
        runtime_services = services.into_runtime_services()
        return await runtime_lifecycle.from_host_state(cls, policy, host.into_runtime_host(), runtime_services, state)

    @classmethod
    async def from_persistent_background_state(
        cls,
        policy: SessionPolicy,
        host: ProcessRuntimeHost,
        services: PersistentRuntimeServices,
        state: RuntimeSessionState,
    ) -> LashRuntime:
        """A runtime with a store and processes. Raises: SessionError, PluginSessionError."""
        runtime_services = services.into_runtime_services()
        return await runtime_lifecycle.from_host_state(cls, policy, host.into_runtime_host(), runtime_services, state)

    @classmethod
    async def from_environment(
        cls,
        env: RuntimeEnvironment,
        policy: SessionPolicy,
        state: RuntimeSessionState,
        store: RuntimePersistence | None = None,
        *,
        exclusive: bool = True,
    ) -> LashRuntime:
        """Build a runtime from shared parts: costs the session's plugins and its state, nothing else.

        Args:
            env: shared parts; its work drivers are set on this runtime's host.
            policy: fills what the state does not say.
            state: as stored, or empty for a fresh session; becomes the runtime's own.
            store: the session's; None = nothing is kept.
            exclusive: False for the run of a process: other runtimes of the session may live beside it, and no model
                is needed before one is called.

        Raises:
            SessionError: no plugin host; no model; active-path residency without a store; a store of another session.
            PluginSessionError: a plugin that cannot be built or restored; the session lives here already.
        """
        if env.plugin_host is None:
            raise SessionError("RuntimeEnvironment.plugin_host is required for from_environment", field="plugin_host")
        runtime_lifecycle.name_session(state, store)
        is_restored = state.head_revision is not None
        plugins = env.plugin_host.build_session(state.session_id, state.plugin_snapshot, exclusive=exclusive)
        runtime = await runtime_lifecycle.assemble_runtime(
            cls,
            policy,
            env.embedded_host(),
            plugins,
            state,
            store=store,
            process_registry=env.process_registry,
            residency=env.residency,
            requires_model=exclusive,
        )
        runtime.host.process_work_driver = env.process_work_driver
        runtime.host.queued_work_driver = env.queued_work_driver
        if exclusive and runtime.host.core.monitors:
            await arm_monitors(runtime, is_restored=is_restored)
        return runtime

    def set_runtime_lease_owner(self, owner: LeaseOwnerIdentity) -> None:
        """Take the session's execution lease as this owner.

        Runtimes exclude each other by a fresh incarnation each. An orchestrator that serialises one logical workflow
        may set a stable owner and incarnation, so that its next attempt goes on under the same lease.
        """
        self.runtime_lease_owner = owner

    def unregister_plugin_session(self) -> None:
        """Free the session's id in the plugin host. Safe to repeat."""
        self.plugins.host.unregister_session(self.plugins)

    def close(self) -> None:
        """Drop the runtime and its children without storing anything. May be called twice.

        Hidden tasks are cancelled; the others too, or they go on, by their close policy.
        """
        managed, self._managed_sessions = self._managed_sessions, None
        if managed is not None:
            managed.drop_all()
        self.async_handles.close()
        if self._monitors is not None:
            self._monitors.close()
        self.background_tasks.close()
        self.unregister_plugin_session()

    # -- park and resume (``docs/contracts/sessions.md`` 2.8) ------------------------------------------

    async def park(self) -> ParkedSession:
        """Store what is not stored yet, if anything, and drop the session from memory.

        Nothing is committed when there is nothing to commit (decision 3 and 14). The runtime is done after it.

        Raises:
            SessionError: there is no store; a child runs a turn; ``failed to persist runtime state``, with the reason:
                the runtime lives on.
            RuntimeFailure: ``session_execution_busy``: a turn of this runtime runs.
            PluginSessionError: a hidden background task failed: the runtime lives on.
            OutcomeUnknownError: the reply of the commit was lost.
        """
        return await runtime_parking.park(self)

    @classmethod
    async def resume(cls, parked: ParkedSession, env: RuntimeEnvironment) -> LashRuntime:
        """Build a parked session again, here or anywhere: as much of it is read as stays in memory.

        Raises:
            SessionError: ``failed to load runtime state``, with the reason; as ``from_environment``.
        """
        return await runtime_parking.resume(cls, parked, env)

    async def get_historic_node(self, node_id: str) -> SessionNodeRecord | None:
        """A node that may not be resident; None when it is unknown or tombstoned.

        Raises:
            SessionError: not resident, and there is no store (decision 10).
        """
        return await runtime_parking.get_historic_node(self, node_id)

    async def orphaned_node_ids(self) -> list[str]:
        """Stored nodes that the leaf does not reach, for the host to tombstone on its own schedule.

        Raises:
            SessionError: there is no store (decision 10).
        """
        return await runtime_parking.orphaned_node_ids(self)

    # -- commands (``docs/contracts/sessions.md`` 2.10) -----------------------------------------------

    async def submit_session_command(
        self, command: SessionCommandPayload, idempotency_key: str
    ) -> QueuedWorkBatch | None:
        """Let the session do something without a model: queued, or done at once (None) where there is no store.

        Raises:
            InvalidArgumentError: a blank idempotency key.
        """
        return await session_commands.submit_session_command(self, command, idempotency_key)

    async def drain_next_session_command(self) -> QueuedWorkBatch | None:
        """Run the command at the head of the queue; None when none leads it.

        Raises:
            SessionBusyError: somebody else, or a turn, has the session.
        """
        return await session_commands.drain_next_session_command(self)

    # -- turns (``docs/contracts/sessions.md`` 3) ------------------------------------------------------

    async def stream_turn(
        self,
        input: TurnInput,
        *,
        turn_id: str | None = None,
        cancellation: CancellationToken | None = None,
        sender: TurnEventSender | None = None,
        lease: SessionLeaseGuard | SessionExecutionLease | None = None,
    ) -> AssembledTurn:
        """Run a turn over an input. Safe to repeat under one ``turn_id``: what it committed is answered.

        Args:
            input: what the user says.
            turn_id: the input's trace id by default, else a fresh one.
            cancellation: fired to cancel the turn; its outcome is then stopped, ``cancelled``, with evidence.
            sender: takes live activity.
            lease: of this session, when the caller has it; a guard stays the caller's.

        Raises:
            SessionBusyError: ``session_execution_busy``. SessionLeaseLostError: ``session_execution_lease_lost``.
            StoreCommitFailedError: ``store_commit_failed``: nothing changed.
            RuntimeFailure: ``session_model_required``, ``model_provider_unknown``, ``durable_store_required:<facet>``,
                ``execution_scope_turn_id_mismatch``, ``turn_cancel_gate_…``: it did not begin. Store errors.
        """
        return await logical_turn.stream_turn(
            self, input, turn_id=turn_id, cancellation=cancellation, sender=sender, lease=lease
        )

    async def run_next_queued_turn(
        self,
        *,
        cancellation: CancellationToken | None = None,
        sender: TurnEventSender | None = None,
        lease: SessionLeaseGuard | SessionExecutionLease | None = None,
    ) -> AssembledTurn | None:
        """Run the turn that was begun and not committed, else the next of the queue; commands before it run too.

        None: nothing is ready, or somebody else writes the session. Raises: as ``stream_turn``.
        """
        return await logical_turn.run_next_queued_turn(self, cancellation=cancellation, sender=sender, lease=lease)

    async def request_turn_cancel(self, request: TurnCancelRequest) -> TurnCancelReceipt:
        """Ask for the cancel of a turn, from any program and also before it begins. Safe to repeat."""
        return await logical_turn.request_turn_cancel(self, request)

    async def direct_completion(
        self,
        messages: Sequence[Message],
        *,
        key: str,
        instructions: str = "",
        source: str = DIRECT_SOURCE,
        cancellation: CancellationToken | None = None,
    ) -> ModelResponse:
        """Ask the session's model something beside its turns; the history stays as it is, and nothing is streamed.

        Safe to repeat: the answer is recorded under ``key`` for a week, and answered again. Its usage goes into the
        session's ledger with the next commit, once: not when a record is answered.

        Args:
            messages: what the model sees, beside ``instructions``.
            key: unique in the session for one question.
            instructions: what the model is told to be.
            source: in the ledger.
            cancellation: drops the call.

        Raises:
            RuntimeFailure: ``direct_completion_failed`` (``raw`` is the issue), ``direct_completion_cancelled``,
                ``session_model_required``, ``model_provider_unknown``; another question was asked under the key.
            InvalidArgumentError: a blank key.
        """
        return await complete_directly(
            self, messages, key=key, instructions=instructions, source=source, cancellation=cancellation
        )

    # -- background tasks (``docs/contracts/background_tasks.md`` 2) -----------------------------------

    @property
    def background_tasks(self) -> BackgroundTaskCapability:
        """Work beside the turns of this session and its children; made when it is first asked for."""
        if self._background_tasks is None:
            self._background_tasks = BackgroundTaskCapability(self)
        return self._background_tasks

    async def await_background_work(self) -> bool:
        """Await the session's hidden tasks; if something was spawned since the last time, look at the store again.

        A turn that runs keeps the history that it works on: the look is then left to the next call.

        Returns:
            True when a newer state of the session was taken over.

        Raises:
            PluginSessionError: a hidden task failed; all of them have ended. Store errors.
        """
        tasks = self.background_tasks
        await tasks.await_hidden_tasks(self.session_id)
        if not tasks.sync_needed or self.turn_memory.is_working:
            return False
        tasks.sync_needed = False
        try:
            return await self.refresh()
        except BaseException:
            tasks.sync_needed = True
            raise

    # -- children (``docs/contracts/sessions.md`` 2.11) ------------------------------------------------

    @property
    def managed_sessions(self) -> ManagedSessions:
        """Its open children; made when it is first asked for, so that a runtime without any leaves memory at once."""
        if self._managed_sessions is None:
            self._managed_sessions = ManagedSessions(self)
        return self._managed_sessions

    async def create_session(self, request: CreateSessionRequest) -> ManagedSession:
        """Open a child session; see ``ManagedSessions.create_session``."""
        return await self.managed_sessions.create_session(request)

    def start_turn(
        self,
        session_id: str,
        turn_input: TurnInput,
        *,
        turn_id: str | None = None,
        sender: TurnEventSender | None = None,
    ) -> str:
        """Start a turn of a child; see ``ManagedSession.start_turn``."""
        return self.managed_sessions.get(session_id).start_turn(turn_input, turn_id=turn_id, sender=sender)

    async def await_turn(self, session_id: str) -> AssembledTurn:
        """Wait for the turn of a child that was started last; see ``ManagedSession.await_turn``."""
        return await self.managed_sessions.get(session_id).await_turn()

    async def close_session(self, session_id: str) -> None:
        """Park a child; see ``ManagedSessions.close_session``."""
        await self.managed_sessions.close_session(session_id)

    def activate_managed_session(self, session_id: str) -> None:
        """Make a child this runtime's session; see ``ManagedSessions.activate``."""
        self.managed_sessions.activate(session_id)

    async def close_managed_sessions(self) -> None:
        """Park all children that run no turn."""
        if self._managed_sessions is not None:
            await self._managed_sessions.close_all()
