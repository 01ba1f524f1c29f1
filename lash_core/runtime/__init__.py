"""Sessions and processes at work. Names are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.errors import (
        LiveReplayStoreError,
        RuntimeEffectControllerError,
        SessionCursorError,
        SessionObservationError,
    )
    from lash_core.memory_store.live_replay import InMemoryLiveReplayStore, InMemoryLiveReplayStoreConfig
    from lash_core.model.execution_scope import EffectScope, ExecutionScope
    from lash_core.model.scope import ProcessScope, SessionScope
    from lash_core.model.session_cursor import SessionCursor, SessionRevision
    from lash_core.model.session_observation import (
        LiveReplayConfig,
        LiveReplayGap,
        LiveReplayGapReason,
        SessionObservation,
        SessionObservationEvent,
        SessionObservationEventPayload,
        SessionProcessEventKind,
        SessionQueueEventKind,
        SessionResume,
    )
    from lash_core.runtime.attachment_roots import AttachmentRoots
    from lash_core.runtime.attachments import SessionAttachments
    from lash_core.runtime.background.async_handle import AsyncHandleState, AsyncToolHandle
    from lash_core.runtime.background.async_handles import AsyncToolHandleMap
    from lash_core.runtime.background.capability import BackgroundTaskCapability
    from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
    from lash_core.runtime.background.handle_await import StillRunning, await_async_handle
    from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
    from lash_core.runtime.background.monitors import SessionMonitors
    from lash_core.runtime.background.task_host import (
        BackgroundTaskHost,
        LocalBackgroundTaskCancel,
        PluginSessionTask,
    )
    from lash_core.runtime.background.task_tools import BackgroundTaskToolsFactory
    from lash_core.runtime.cancellation import CancellationToken
    from lash_core.runtime.content_sweep import (
        ContentSweep,
        SweepReport,
        content_sweep_of,
        reclaim_unreferenced_attachments,
    )
    from lash_core.runtime.context.state import ProcessEventContext
    from lash_core.runtime.engine_context import execution_context_of_run
    from lash_core.runtime.execution_context import RuntimeExecutionContext
    from lash_core.runtime.host_config import RuntimeHostConfig
    from lash_core.runtime.inline_effects import (
        InlineEffectController,
        InlineEffectHost,
        InlineRuntimeEffectController,
        ScopedEffectController,
    )
    from lash_core.runtime.journal.effects import JournaledEffectHost
    from lash_core.runtime.lash_runtime import LashRuntime, RuntimeSessionState
    from lash_core.runtime.local_executors import ProcessWaitCancelledError, RuntimeEffectLocalExecutor
    from lash_core.runtime.observation.activity_writer import LiveActivityWriter, writer_of
    from lash_core.runtime.observation.recording import Recording
    from lash_core.runtime.observation.runtime_observation import RuntimeObservation
    from lash_core.runtime.observation.session_observer import SessionObserver
    from lash_core.runtime.observation.shared_runtime import RuntimeWriter
    from lash_core.runtime.observation.watch_json import WatchJson, WatchLine
    from lash_core.runtime.observation.watched_session import WatchedSession
    from lash_core.runtime.plugin.hooks import (
        BeforeTurn,
        Compaction,
        PluginCheckpoint,
        PluginHooks,
        PluginTurn,
        TurnAbort,
    )
    from lash_core.runtime.plugin.host import PluginHost, PluginSession
    from lash_core.runtime.plugin.stack import PluginStack
    from lash_core.runtime.plugins import (
        PluginFactory,
        PluginLifecycleEvent,
        ProtocolSession,
        ProtocolSessionContext,
        SessionPlugin,
        StatelessProtocolSession,
    )
    from lash_core.runtime.process.cancel import DefaultProcessCancelAbility, ProcessCancelAbility, ProcessCancelRequest
    from lash_core.runtime.process.children import ChildHandle
    from lash_core.runtime.process.context import ProcessContext
    from lash_core.runtime.process.engine import EngineRun, ProcessEngine, ProcessEngineRegistry
    from lash_core.runtime.process.execution_context import ProcessExecutionContext
    from lash_core.runtime.process.op_scope import ProcessOpScope
    from lash_core.runtime.process.promises import PendingEvent
    from lash_core.runtime.process.registry_service import RegistryProcessService
    from lash_core.runtime.process.runner import ProcessRunner
    from lash_core.runtime.process.service import ProcessCancelSummary, ProcessService
    from lash_core.runtime.process.start import ChecksStarts, ProcessStarts
    from lash_core.runtime.residency import Residency
    from lash_core.runtime.run_lease import RunLease
    from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
    from lash_core.runtime.runtime_environment import RuntimeEnvironment
    from lash_core.runtime.runtime_errors import DurableStoreFacet
    from lash_core.runtime.runtime_handle import RuntimeHandle
    from lash_core.runtime.runtime_host import (
        EmbeddedRuntimeHost,
        ProcessRuntimeHost,
        ProcessWorkDriver,
        QueuedWorkDriver,
        RuntimeHost,
    )
    from lash_core.runtime.runtime_parking import ParkedSession
    from lash_core.runtime.runtime_services import PersistentRuntimeServices, RuntimeServices
    from lash_core.runtime.session.child_starts import (
        CreateSessionRequest,
        CurrentSessionStart,
        EmptyStart,
        ExistingSessionStart,
        SnapshotStart,
    )
    from lash_core.runtime.session.lease_guard import SessionBusyError, SessionLeaseGuard, SessionLeaseLostError
    from lash_core.runtime.session.managed_sessions import ManagedSessions
    from lash_core.runtime.session.managed_turns import ManagedSession
    from lash_core.runtime.standard_protocol import StandardProtocolFactory
    from lash_core.runtime.standard_tools import StandardToolsFactory
    from lash_core.runtime.tool_dispatch import ToolCatalog, ToolDispatchContext, ToolTriggerOutcomeBuffer
    from lash_core.runtime.tool_registry import ToolRegistry
    from lash_core.runtime.tool_registry_errors import (
        ToolGenerationError,
        ToolRegistryError,
        ToolUnavailableError,
        ToolValidationError,
        UnknownToolSourceError,
    )
    from lash_core.runtime.tool_sources import StaticToolSource, ToolExecutionGrant, ToolSource
    from lash_core.runtime.tool_turn import InnerToolAnswer, ToolTurn
    from lash_core.runtime.tools import Tool, ToolContext, ToolPrepared
    from lash_core.runtime.trigger_router import DeliveryReport, EmitReport, TickReport, TriggerRouter
    from lash_core.runtime.turn_context import (
        ProtocolTurnExtensionHandle,
        RuntimeNamedPhase,
        RuntimeTurnPhaseProbe,
        TurnContext,
    )
    from lash_core.runtime.turns.cancel_gate import TurnCancelGate
    from lash_core.runtime.turns.turn_commit import StoreCommitFailedError
    from lash_core.store.effect_host import EffectHost, RuntimeEffectController
    from lash_core.store.live_replay_store import (
        LiveReplayResult,
        LiveReplayStore,
        LiveReplaySubscribeResult,
        LiveReplaySubscription,
        SessionObservationSubscription,
    )

# The formatter would put each name on a line of its own.
# fmt: off
__all__ = [
    "AsyncHandleState", "AsyncToolHandle", "AsyncToolHandleMap", "AttachmentRoots", "BackgroundTaskCapability",
    "BackgroundTaskHost", "BackgroundTaskToolsFactory", "BeforeTurn", "CancellationToken", "ChecksStarts",
    "ChildHandle", "Compaction", "ContentSweep", "CreateSessionRequest", "CurrentSessionStart",
    "DefaultProcessCancelAbility", "DeliveryReport", "DurableBackgroundTaskHost", "DurableStoreFacet", "EffectHost",
    "EffectScope", "EmbeddedRuntimeBuilder", "EmbeddedRuntimeHost", "EmitReport", "EmptyStart", "EngineRun",
    "ExecutionScope", "ExistingSessionStart", "InMemoryLiveReplayStore", "InMemoryLiveReplayStoreConfig",
    "InlineEffectController", "InlineEffectHost", "InlineRuntimeEffectController", "InnerToolAnswer",
    "JournaledEffectHost", "LashRuntime", "LiveActivityWriter", "LiveReplayConfig", "LiveReplayGap",
    "LiveReplayGapReason", "LiveReplayResult", "LiveReplayStore", "LiveReplayStoreError", "LiveReplaySubscribeResult",
    "LiveReplaySubscription", "LocalBackgroundTaskCancel", "LocalBackgroundTaskHost", "ManagedSession",
    "ManagedSessions", "ParkedSession", "PendingEvent", "PersistentRuntimeServices", "PluginCheckpoint",
    "PluginFactory", "PluginHooks", "PluginHost", "PluginLifecycleEvent", "PluginSession", "PluginSessionTask",
    "PluginStack", "PluginTurn", "ProcessCancelAbility", "ProcessCancelRequest", "ProcessCancelSummary",
    "ProcessContext", "ProcessEngine", "ProcessEngineRegistry", "ProcessEventContext", "ProcessExecutionContext",
    "ProcessOpScope", "ProcessRunner", "ProcessRuntimeHost", "ProcessScope", "ProcessService", "ProcessStarts",
    "ProcessWaitCancelledError", "ProcessWorkDriver", "ProtocolSession", "ProtocolSessionContext",
    "ProtocolTurnExtensionHandle", "QueuedWorkDriver", "Recording", "RegistryProcessService", "Residency", "RunLease",
    "RuntimeEffectController", "RuntimeEffectControllerError", "RuntimeEffectLocalExecutor", "RuntimeEnvironment",
    "RuntimeExecutionContext", "RuntimeHandle", "RuntimeHost", "RuntimeHostConfig", "RuntimeNamedPhase",
    "RuntimeObservation", "RuntimeServices", "RuntimeSessionState", "RuntimeTurnPhaseProbe", "RuntimeWriter",
    "ScopedEffectController", "SessionAttachments", "SessionBusyError", "SessionCursor", "SessionCursorError",
    "SessionLeaseGuard", "SessionLeaseLostError", "SessionMonitors", "SessionObservation", "SessionObservationError",
    "SessionObservationEvent", "SessionObservationEventPayload", "SessionObservationSubscription", "SessionObserver",
    "SessionPlugin", "SessionProcessEventKind", "SessionQueueEventKind", "SessionResume", "SessionRevision",
    "SessionScope", "SnapshotStart", "StandardProtocolFactory", "StandardToolsFactory", "StatelessProtocolSession",
    "StaticToolSource", "StillRunning", "StoreCommitFailedError", "SweepReport", "TickReport", "Tool", "ToolCatalog",
    "ToolContext", "ToolDispatchContext", "ToolExecutionGrant", "ToolGenerationError", "ToolPrepared", "ToolRegistry",
    "ToolRegistryError", "ToolSource", "ToolTriggerOutcomeBuffer", "ToolTurn", "ToolUnavailableError",
    "ToolValidationError", "TriggerRouter", "TurnAbort", "TurnCancelGate", "TurnContext", "UnknownToolSourceError",
    "WatchJson", "WatchLine", "WatchedSession", "await_async_handle", "content_sweep_of", "execution_context_of_run",
    "reclaim_unreferenced_attachments", "writer_of",
]
# fmt: on

_HOMES = {
    "lash_core.runtime.session.lease_guard": ("SessionBusyError", "SessionLeaseGuard", "SessionLeaseLostError"),
    "lash_core.runtime.turns.cancel_gate": ("TurnCancelGate",),
    "lash_core.runtime.turns.turn_commit": ("StoreCommitFailedError",),
    "lash_core.model.execution_scope": ("EffectScope", "ExecutionScope"),
    "lash_core.model.scope": ("ProcessScope", "SessionScope"),
    "lash_core.runtime.attachment_roots": ("AttachmentRoots",),
    "lash_core.runtime.attachments": ("SessionAttachments",),
    "lash_core.runtime.background.async_handle": ("AsyncHandleState", "AsyncToolHandle"),
    "lash_core.runtime.background.async_handles": ("AsyncToolHandleMap",),
    "lash_core.runtime.background.handle_await": ("StillRunning", "await_async_handle"),
    "lash_core.runtime.background.monitors": ("SessionMonitors",),
    "lash_core.runtime.background.task_tools": ("BackgroundTaskToolsFactory",),
    "lash_core.runtime.background.capability": ("BackgroundTaskCapability",),
    "lash_core.runtime.background.durable_host": ("DurableBackgroundTaskHost",),
    "lash_core.runtime.background.local_host": ("LocalBackgroundTaskHost",),
    "lash_core.runtime.background.task_host": (
        "BackgroundTaskHost",
        "LocalBackgroundTaskCancel",
        "PluginSessionTask",
    ),
    "lash_core.runtime.cancellation": ("CancellationToken",),
    "lash_core.runtime.session.child_starts": (
        "CreateSessionRequest",
        "CurrentSessionStart",
        "EmptyStart",
        "ExistingSessionStart",
        "SnapshotStart",
    ),
    "lash_core.runtime.session.managed_sessions": ("ManagedSessions",),
    "lash_core.runtime.session.managed_turns": ("ManagedSession",),
    "lash_core.runtime.observation.activity_writer": ("LiveActivityWriter", "writer_of"),
    "lash_core.runtime.observation.recording": ("Recording",),
    "lash_core.runtime.observation.runtime_observation": ("RuntimeObservation",),
    "lash_core.runtime.observation.session_observer": ("SessionObserver",),
    "lash_core.runtime.observation.watch_json": ("WatchJson", "WatchLine"),
    "lash_core.runtime.observation.watched_session": ("WatchedSession",),
    "lash_core.runtime.observation.shared_runtime": ("RuntimeWriter",),
    "lash_core.runtime.runtime_handle": ("RuntimeHandle",),
    "lash_core.runtime.content_sweep": (
        "ContentSweep",
        "SweepReport",
        "content_sweep_of",
        "reclaim_unreferenced_attachments",
    ),
    "lash_core.runtime.context.state": ("ProcessEventContext",),
    "lash_core.runtime.engine_context": ("execution_context_of_run",),
    "lash_core.runtime.execution_context": ("RuntimeExecutionContext",),
    "lash_core.runtime.host_config": ("RuntimeHostConfig",),
    "lash_core.errors": (
        "LiveReplayStoreError",
        "RuntimeEffectControllerError",
        "SessionCursorError",
        "SessionObservationError",
    ),
    "lash_core.runtime.inline_effects": (
        "InlineEffectController",
        "InlineEffectHost",
        "InlineRuntimeEffectController",
        "ScopedEffectController",
    ),
    "lash_core.runtime.journal.effects": ("JournaledEffectHost",),
    "lash_core.runtime.process.children": ("ChildHandle",),
    "lash_core.runtime.process.promises": ("PendingEvent",),
    "lash_core.runtime.lash_runtime": ("LashRuntime", "RuntimeSessionState"),
    "lash_core.runtime.local_executors": ("ProcessWaitCancelledError", "RuntimeEffectLocalExecutor"),
    "lash_core.runtime.plugin.hooks": (
        "BeforeTurn",
        "Compaction",
        "PluginCheckpoint",
        "PluginHooks",
        "PluginTurn",
        "TurnAbort",
    ),
    "lash_core.runtime.plugin.host": ("PluginHost", "PluginSession"),
    "lash_core.runtime.plugin.stack": ("PluginStack",),
    "lash_core.runtime.plugins": (
        "PluginFactory",
        "PluginLifecycleEvent",
        "ProtocolSession",
        "ProtocolSessionContext",
        "SessionPlugin",
        "StatelessProtocolSession",
    ),
    "lash_core.runtime.process.cancel": ("DefaultProcessCancelAbility", "ProcessCancelAbility", "ProcessCancelRequest"),
    "lash_core.runtime.process.context": ("ProcessContext",),
    "lash_core.runtime.process.engine": ("EngineRun", "ProcessEngine", "ProcessEngineRegistry"),
    "lash_core.runtime.process.execution_context": ("ProcessExecutionContext",),
    "lash_core.runtime.process.op_scope": ("ProcessOpScope",),
    "lash_core.runtime.process.runner": ("ProcessRunner",),
    "lash_core.runtime.process.service": ("ProcessCancelSummary", "ProcessService"),
    "lash_core.runtime.process.start": ("ChecksStarts", "ProcessStarts"),
    "lash_core.runtime.process.registry_service": ("RegistryProcessService",),
    "lash_core.runtime.residency": ("Residency",),
    "lash_core.runtime.run_lease": ("RunLease",),
    "lash_core.runtime.runtime_builder": ("EmbeddedRuntimeBuilder",),
    "lash_core.runtime.runtime_environment": ("RuntimeEnvironment",),
    "lash_core.runtime.runtime_errors": ("DurableStoreFacet",),
    "lash_core.runtime.runtime_host": (
        "EmbeddedRuntimeHost",
        "ProcessRuntimeHost",
        "ProcessWorkDriver",
        "QueuedWorkDriver",
        "RuntimeHost",
    ),
    "lash_core.runtime.runtime_parking": ("ParkedSession",),
    "lash_core.runtime.runtime_services": ("PersistentRuntimeServices", "RuntimeServices"),
    "lash_core.runtime.standard_protocol": ("StandardProtocolFactory",),
    "lash_core.runtime.standard_tools": ("StandardToolsFactory",),
    "lash_core.runtime.tool_dispatch": ("ToolCatalog", "ToolDispatchContext", "ToolTriggerOutcomeBuffer"),
    "lash_core.runtime.tool_registry": ("ToolRegistry",),
    "lash_core.runtime.tool_registry_errors": (
        "ToolGenerationError",
        "ToolRegistryError",
        "ToolUnavailableError",
        "ToolValidationError",
        "UnknownToolSourceError",
    ),
    "lash_core.runtime.tool_sources": ("StaticToolSource", "ToolExecutionGrant", "ToolSource"),
    "lash_core.runtime.tool_turn": ("InnerToolAnswer", "ToolTurn"),
    "lash_core.runtime.tools": ("Tool", "ToolContext", "ToolPrepared"),
    "lash_core.runtime.trigger_router": ("DeliveryReport", "EmitReport", "TickReport", "TriggerRouter"),
    "lash_core.runtime.turn_context": (
        "ProtocolTurnExtensionHandle",
        "RuntimeNamedPhase",
        "RuntimeTurnPhaseProbe",
        "TurnContext",
    ),
    "lash_core.memory_store.live_replay": (
        "InMemoryLiveReplayStore",
        "InMemoryLiveReplayStoreConfig",
    ),
    "lash_core.model.session_cursor": (
        "SessionCursor",
        "SessionRevision",
    ),
    "lash_core.model.session_observation": (
        "LiveReplayConfig",
        "LiveReplayGap",
        "LiveReplayGapReason",
        "SessionObservation",
        "SessionObservationEvent",
        "SessionObservationEventPayload",
        "SessionProcessEventKind",
        "SessionQueueEventKind",
        "SessionResume",
    ),
    "lash_core.store.live_replay_store": (
        "LiveReplayResult",
        "LiveReplayStore",
        "LiveReplaySubscribeResult",
        "LiveReplaySubscription",
        "SessionObservationSubscription",
    ),
    "lash_core.store.effect_host": ("EffectHost", "RuntimeEffectController"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
