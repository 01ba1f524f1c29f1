"""A session as it was last published: immutable, shared by all readers, and never in the way of the runtime.

``docs/contracts/observation.md`` 5.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lash_core.model.base import JsonValue
from lash_core.model.process_command import ProcessListMode
from lash_core.model.scope import SessionScope
from lash_core.model.session import SessionPolicy
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import SessionObservation
from lash_core.model.session_state import RuntimeSessionState, SessionReadView
from lash_core.model.tool_state import ToolState
from lash_core.model.usage import SessionUsageReport, merge_ledger, usage_report
from lash_core.runtime.plugin.host import PluginSession
from lash_core.runtime.plugins import SessionPlugin
from lash_core.runtime.runtime_host import QueuedWorkDriver
from lash_core.runtime.session.process_handles import list_process_handles
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuntimeObservation:
    """What readers of a runtime see between two publications.

    Attributes:
        session_id: the session.
        revision: of ``persisted_state``.
        cursor: behind the event that this publication appended.
        policy: in effect.
        read_view: the history and the counters.
        persisted_state: a copy of the state; its ledger has what is not stored yet, too. Not to be changed.
        usage_report: of that ledger.
        tool_state: the tools; shared with the publication before while their generation is the same. None: it could
            not be read (logged).
        tool_catalog: the manifests of the member tools as JSON, by name; shared likewise, not to be changed.
        tool_catalog_error: why the catalog is empty; None = it is what it is.
        process_registry: None where the runtime starts no processes.
        queue_store: the session's store; None where nothing is kept.
        queued_work_poke: told that work waits; None = nobody here.
        plugin_session: the session's plugins.
    """

    session_id: str
    revision: SessionRevision
    cursor: SessionCursor
    policy: SessionPolicy
    read_view: SessionReadView
    persisted_state: RuntimeSessionState
    usage_report: SessionUsageReport
    tool_state: ToolState | None
    tool_catalog: Sequence[JsonValue]
    tool_catalog_error: str | None
    process_registry: ProcessRegistry | None
    queue_store: RuntimePersistence | None
    queued_work_poke: QueuedWorkDriver | None
    plugin_session: PluginSession

    @classmethod
    def from_runtime(
        cls, runtime: RuntimeCore, cursor: SessionCursor, previous: RuntimeObservation | None = None
    ) -> RuntimeObservation:
        """What a runtime is now, from one export: revision, ledger and report cannot disagree. Never fails for tools.

        Args:
            runtime: at rest, or held by whoever asks.
            cursor: where its watchers stand.
            previous: published before; what did not change is shared with it.
        """
        state = runtime.state.copy()
        state.token_ledger = list(merge_ledger((*state.token_ledger, *runtime.shared_token_ledger)))
        tool_state = _tool_state_of(runtime, previous)
        catalog, catalog_error = _tool_catalog_of(runtime, tool_state, previous)
        return cls(
            session_id=state.session_id,
            revision=SessionRevision.of_state(state),
            cursor=cursor,
            policy=state.policy,
            read_view=SessionReadView.from_persisted_state(state),
            persisted_state=state,
            usage_report=usage_report(state.token_ledger),
            tool_state=tool_state,
            tool_catalog=catalog,
            tool_catalog_error=catalog_error,
            process_registry=runtime.host.process_registry,
            queue_store=runtime.store,
            queued_work_poke=runtime.host.queued_work_driver,
            plugin_session=runtime.plugins,
        )

    def session_revision(self) -> SessionRevision:
        """The revision."""
        return self.revision

    def session_observation(self) -> SessionObservation:
        """The part that watchers are handed."""
        return SessionObservation(self.read_view, self.cursor)

    @property
    def session_read_service(self) -> RuntimePersistence | None:
        """Where more of the session is read."""
        return self.queue_store

    @property
    def process_read_service(self) -> ProcessRegistry | None:
        """Where its processes are read."""
        return self.process_registry

    def query_plugin(self, plugin_id: str) -> SessionPlugin | None:
        """The session's plugin of that id, to be asked what only it knows."""
        return self.plugin_session.plugins.get(plugin_id)

    # -- processes -------------------------------------------------------------------------------------

    def process_scope(self) -> SessionScope:
        """The session's own scope."""
        return SessionScope(self.session_id)

    def process_scope_id(self) -> str:
        """Its id."""
        return self.process_scope().scope_id

    async def list_process_handles(self, mode: ProcessListMode = ProcessListMode.LIVE) -> tuple[dict[str, Any], ...]:
        """Handles of the session and of its current frame, by process id; none where they cannot be listed."""
        frame_id = self.persisted_state.current_agent_frame_id
        return await list_process_handles(self.process_registry, self.session_id, frame_id, mode)

    async def list_all_process_handles(self) -> tuple[dict[str, Any], ...]:
        """As ``list_process_handles``, with those of processes that are over."""
        return await self.list_process_handles(ProcessListMode.ALL)


def _tool_state_of(runtime: RuntimeCore, previous: RuntimeObservation | None) -> ToolState | None:
    try:
        known = None if previous is None else previous.tool_state
        if known is not None and known.generation == runtime.tools.generation:
            return known
        return runtime.tools.export_state()
    except Exception as error:  # noqa: BLE001 - tools are the user's code; a publication does not fail for them
        _log.warning("the tools of session %s are left out of its observation: %s", runtime.session_id, error)
        return None


def _tool_catalog_of(
    runtime: RuntimeCore, tool_state: ToolState | None, previous: RuntimeObservation | None
) -> tuple[Sequence[JsonValue], str | None]:
    if (
        previous is not None
        and tool_state is not None
        and tool_state is previous.tool_state
        and previous.tool_catalog_error is None
        and previous.plugin_session is runtime.plugins
    ):
        return previous.tool_catalog, None
    try:
        return [manifest.to_json_value() for manifest in runtime.tools.catalog()], None
    except Exception as error:  # noqa: BLE001 - as above
        return [], str(error) or type(error).__name__
