"""A session at work (seed 001): its state, plugins and stores, and the verbs that its hosts call.

What the verbs do is in modules of their own: ``runtime_lifecycle`` builds, ``runtime_parking`` stores and reads back,
``session_api`` edits and enqueues, ``managed_sessions`` has the children, ``turns`` runs turns.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from lash_core.errors.session import SessionError
from lash_core.model.base import JsonValue
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session import SessionPolicy
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult
from lash_core.model.session_lease import SessionExecutionLease, SessionExecutionLeaseFence
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_persisting import apply_persisted_commit_result
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.tool_output import AnyToolOutput
from lash_core.model.turn_control import TurnCancelReceipt, TurnCancelRequest
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.model.usage import SessionUsageReport, TokenLedgerEntry, merge_ledger, usage_report
from lash_core.runtime import runtime_lifecycle, runtime_parking, state_export
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.plugin_host import PluginSession
from lash_core.runtime.process_engine import ProcessEngineRegistry
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.runtime_host import EmbeddedRuntimeHost, ProcessRuntimeHost, RuntimeHost
from lash_core.runtime.runtime_parking import ParkedSession
from lash_core.runtime.runtime_services import PersistentRuntimeServices, RuntimeServices
from lash_core.runtime.session_lease_guard import SessionLeaseGuard
from lash_core.runtime.small_session_store import as_persistence
from lash_core.runtime.state_loading import load_for_residency
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import ToolContext
from lash_core.runtime.turn_activities import TurnEventSender
from lash_core.runtime.turn_context import RuntimeTurnPhaseProbe
from lash_core.runtime.turns import logical_turn
from lash_core.runtime.turns.turn_memory import TurnMemory
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory

__all__ = ["LashRuntime", "ParkedSession", "RuntimeEnvironment", "RuntimeSessionState"]


class LashRuntime:
    """One session in memory. Build it with ``from_environment``, ``resume`` or ``EmbeddedRuntimeBuilder``.

    Not safe for concurrent turns: one writer a session, also within a program.

    Attributes:
        state: the session as this runtime works on it.
        policy: in effect since the runtime was built, or since ``update_session_config``.
        host: effects, stores, registry, drivers.
        services: plugins, store, attachments, clock.
        runtime_scope_id: fresh for each runtime.
        runtime_lease_owner: who takes the session's execution lease.
        shared_token_ledger: usage of children and direct completions that no commit has stored yet.
        stored_node_count: how many of the resident nodes, in append order, the store has.
        config_changed: policy, frames or leaf changed since the last commit.
        turn_phase_probe: told of the phases of turns, or None.
        residency: how much of the graph stays in memory.
        turn_memory: what it knows between its turns.
    """

    def __init__(
        self, state: RuntimeSessionState, policy: SessionPolicy, host: RuntimeHost, services: RuntimeServices
    ) -> None:
        self.state = state
        self.policy = policy
        self.host = host
        self.services = services
        self.runtime_scope_id = str(uuid.uuid4())
        self.runtime_lease_owner = LeaseOwnerIdentity.opaque(self.runtime_scope_id, str(uuid.uuid4()))
        self.shared_token_ledger: list[TokenLedgerEntry] = []
        self.stored_node_count = 0
        self.config_changed = False
        self.turn_phase_probe: RuntimeTurnPhaseProbe | None = None
        self.residency = Residency.KEEP_ALL
        self.turn_memory = TurnMemory()

    # -- what it is made of ----------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session."""
        return self.state.session_id

    @property
    def plugins(self) -> PluginSession:
        """Its plugins: protocol driver, tools, hooks."""
        return self.services.plugin_session

    @property
    def tools(self) -> ToolRegistry:
        """Its tools."""
        return self.plugins.tools

    @property
    def store(self) -> RuntimePersistence | None:
        """Its store; None = nothing is kept."""
        return self.services.store

    @property
    def attachments(self) -> AttachmentStore | SessionAttachments | None:
        """Attachments: the session's own where it has a store."""
        return self.services.attachment_store

    @property
    def session_store_factory(self) -> SessionStoreFactory | None:
        """Opens the stores of other sessions; None where there are none."""
        return self.host.session_store_factory

    @property
    def process_engines(self) -> ProcessEngineRegistry:
        """The engines of this program's plugins."""
        return self.plugins.host.process_engines

    @property
    def protocol_turn_options(self) -> JsonValue:
        """Options of the protocol that are in effect."""
        return self.state.protocol_turn_options

    def read_view(self) -> SessionReadView:
        """The session as it is now; later appends do not change the view. Costs nothing."""
        return SessionReadView.from_persisted_state(self.state)

    def usage_report(self) -> SessionUsageReport:
        """Token usage of the session and its children so far, stored or not."""
        return usage_report((*self.state.token_ledger, *self.shared_token_ledger))

    # -- construction (contract 2.7) -------------------------------------------------------------------

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
        store = as_persistence(store)
        if not state.session_id.strip():
            state.session_id = str(uuid.uuid4())
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
        """Drop the runtime without storing anything. May be called twice."""
        self.unregister_plugin_session()

    # -- park and resume (contract 2.8) ----------------------------------------------------------------

    async def park(self) -> ParkedSession:
        """Store what is not stored yet, if anything, and drop the session from memory.

        Nothing is committed when there is nothing to commit (decision 3 and 14). The runtime is done after it.

        Raises:
            SessionError: there is no store; ``failed to persist runtime state``, with the reason: the runtime lives on.
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

    # -- commits ---------------------------------------------------------------------------------------

    def export_commit(
        self,
        *,
        fence: SessionExecutionLeaseFence | None = None,
        release_lease: bool = False,
        usage_deltas: Sequence[TokenLedgerEntry] = (),
    ) -> RuntimeCommit:
        """The commit of the session as it is now; see ``state_export.export_commit``."""
        return state_export.export_commit(self, fence=fence, release_lease=release_lease, usage_deltas=usage_deltas)

    def apply_commit_result(self, commit: RuntimeCommit, result: RuntimeCommitResult) -> None:
        """Take over what a commit of this runtime made: revision and refs, its usage, which nodes are stored."""
        apply_persisted_commit_result(self.state, result)
        self.state.token_ledger = list(merge_ledger((*self.state.token_ledger, *commit.usage_deltas)))
        self.note_stored(())

    def note_stored(self, usage: Sequence[TokenLedgerEntry]) -> None:
        """All resident nodes are stored now, and so is this much of ``shared_token_ledger``, from its front."""
        del self.shared_token_ledger[: len(usage)]
        self.stored_node_count = len(self.state.session_graph.nodes)
        self.config_changed = False

    async def refresh(self) -> bool:
        """Take over the stored session, if head revision, leaf or checkpoint differ from what is in memory.

        Returns:
            True when something was taken over. Without a store, or before the first commit, nothing is.
        """
        if self.store is None:
            return False
        stored = await load_for_residency(self.store, self.residency)
        if stored is None:
            return False
        ours = (self.state.head_revision, self.state.session_graph.leaf_node_id, self.state.checkpoint_ref)
        if ours == (stored.head_revision, stored.session_graph.leaf_node_id, stored.checkpoint_ref):
            return False
        self.state = stored
        self.stored_node_count = len(stored.session_graph.nodes)
        return True

    # -- turns (contract 3) ----------------------------------------------------------------------------

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

    async def close_managed_sessions(self) -> None:
        """Park the children that this runtime opened."""

    # -- tools -----------------------------------------------------------------------------------------

    async def call_tool(self, name: str, args: JsonValue, context: ToolContext) -> AnyToolOutput:
        """Call one member tool. Raises: ToolUnavailableError, and what the tool's code raises outside its answer."""
        return await self.tools.resolve(name).call(context, args)
