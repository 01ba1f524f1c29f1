"""What a runtime consists of: a session's state, its plugins, stores and host, and how state goes out and comes in."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from lash_core.model.base import JsonValue
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session import SessionPolicy
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_persisting import apply_persisted_commit_result
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.tool_output import AnyToolOutput
from lash_core.model.usage import SessionUsageReport, TokenLedgerEntry, merge_ledger, usage_report
from lash_core.runtime import state_export
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.background.async_handles import AsyncToolHandleMap
from lash_core.runtime.background.monitor_seat import MonitorSeat
from lash_core.runtime.background.monitors import SessionMonitors
from lash_core.runtime.background.scope_keys import background_scope_key
from lash_core.runtime.plugin.host import PluginSession
from lash_core.runtime.process.engine import ProcessEngineRegistry
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_host import RuntimeHost
from lash_core.runtime.runtime_services import RuntimeServices
from lash_core.runtime.session import refresh as session_refresh
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tool_registry_errors import ToolUnavailableError
from lash_core.runtime.tools import ToolContext
from lash_core.runtime.turn_context import RuntimeTurnPhaseProbe
from lash_core.runtime.turns.turn_memory import TurnMemory
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory

_OF_THE_SESSION = (
    "state",
    "policy",
    "host",
    "services",
    "shared_token_ledger",
    "stored_node_count",
    "unstored_execution_state",
    "config_changed",
    "residency",
    "turn_memory",
    "async_handles",
    "_monitors",
)


class RuntimeCore:
    """The parts of a runtime; ``LashRuntime`` is the whole.

    Attributes:
        state: the session as this runtime works on it.
        policy: in effect since the runtime was built, or since ``update_session_config``.
        host: effects, stores, registry, drivers.
        services: plugins, store, attachments, clock.
        runtime_scope_id: fresh for each runtime.
        runtime_lease_owner: who takes the session's execution lease.
        background_scope_id: in the keys of its background tasks; children have their parent's.
        shared_token_ledger: usage of children and direct completions that no commit has stored yet.
        stored_node_count: how many of the resident nodes, in append order, the store has.
        unstored_execution_state: what the session was given when it was built, until a commit stores it.
        config_changed: policy, frames or leaf changed since the last commit.
        turn_phase_probe: told of the phases of turns, or None.
        residency: how much of the graph stays in memory.
        turn_memory: what it knows between its turns.
        async_handles: tasks that tools of the session started and that run beside its turns.
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
        self.background_scope_id = self.runtime_scope_id
        self.shared_token_ledger: list[TokenLedgerEntry] = []
        self.stored_node_count = 0
        self.unstored_execution_state: JsonValue = None
        self.config_changed = False
        self.turn_phase_probe: RuntimeTurnPhaseProbe | None = None
        self.residency = Residency.KEEP_ALL
        self.turn_memory = TurnMemory()
        self.async_handles = AsyncToolHandleMap()
        self._monitors: SessionMonitors | None = None

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

    @property
    def monitors(self) -> SessionMonitors:
        """The commands that the host lets run beside the session; made when it is first asked for.

        Raises:
            SettingsError: the host's configuration of monitors cannot be used.
        """
        if self._monitors is None:
            seat = MonitorSeat(
                self.session_id,
                background_scope_key(self.background_scope_id, self.session_id),
                self.host.core.background_task_host,
                self.async_handles,
                self.services.clock,
                self.store,
                self.host.queued_work_driver,
            )
            self._monitors = SessionMonitors(seat, self.host.core.monitors)
        return self._monitors

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
        self.unstored_execution_state = None
        self.config_changed = False

    def swap_session(self, other: RuntimeCore) -> None:
        """Exchange the session with another runtime of this program; who takes leases, and as whom, stays."""
        for name in _OF_THE_SESSION:
            ours, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, theirs)
            setattr(other, name, ours)

    async def refresh(self) -> bool:
        """Take over the stored session, if head revision, leaf or checkpoint differ from what is in memory.

        Returns:
            True when something was taken over. Without a store, or before the first commit, nothing is.
        """
        return await session_refresh.refresh(self)

    # -- tools -----------------------------------------------------------------------------------------

    async def call_tool(self, name: str, args: JsonValue, context: ToolContext) -> AnyToolOutput:
        """Call one member tool, also one whose source has yet to list it.

        Raises:
            ToolUnavailableError: and what the tool's code raises outside its answer.
        """
        try:
            tool = self.tools.resolve(name)
        except ToolUnavailableError:
            await self.plugins.tools_ready()
            tool = self.tools.resolve(name)
        return await tool.call(context, args)
