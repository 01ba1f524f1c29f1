"""The contracts of the stores, one protocol a file; their docstrings are the specification. Loaded when first used."""

# Type checkers read the names from the modules; the list below is what is public, and a test keeps it true.
# ruff: noqa: F403, F405

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.store.artifact_store import *
    from lash_core.store.attachment_manifest import *
    from lash_core.store.attachment_store import *
    from lash_core.store.background_task_store import *
    from lash_core.store.client_stores import *
    from lash_core.store.content_sweep import *
    from lash_core.store.effect_host import *
    from lash_core.store.effect_journal import *
    from lash_core.store.fleet_directory import *
    from lash_core.store.live_replay_store import *
    from lash_core.store.login_tickets import *
    from lash_core.store.process_batches import *
    from lash_core.store.process_env_store import *
    from lash_core.store.process_maintenance import *
    from lash_core.store.process_notices import *
    from lash_core.store.process_observation import *
    from lash_core.store.process_registry import *
    from lash_core.store.process_run_waits import *
    from lash_core.store.promise_store import *
    from lash_core.store.queued_work_store import *
    from lash_core.store.ready_sessions import *
    from lash_core.store.runtime_persistence import *
    from lash_core.store.session_execution_lease import *
    from lash_core.store.session_notices import *
    from lash_core.store.trigger_store import *
    from lash_core.store.turn_input_store import *
    from lash_core.store.turn_journal import *

__all__ = [
    "ArtifactStore",
    "AttachmentManifest",
    "AttachmentNotFoundError",
    "AttachmentRef",
    "AttachmentStore",
    "AwaitEventDoor",
    "AwaitEventResolver",
    "BackgroundTaskStore",
    "BatchOutcome",
    "CheckpointClaims",
    "ClientStores",
    "ContentRoots",
    "DeclaredKinds",
    "EffectHost",
    "EffectJournal",
    "EffectRun",
    "EffectSource",
    "FleetDirectory",
    "FleetFacts",
    "FleetLiveReplayStore",
    "FleetRegistry",
    "JournalingEffectHost",
    "LeasedCompletion",
    "LeasedRelease",
    "LiveAppend",
    "LiveAppendOutcome",
    "LiveAppendStale",
    "LiveAppended",
    "LiveGap",
    "LiveReplayResult",
    "LiveReplayStore",
    "LiveReplaySubscribeResult",
    "LiveReplaySubscription",
    "LiveReplayed",
    "LiveSubscribed",
    "LoginTickets",
    "NoticeKind",
    "OpenTurn",
    "ProcessExecutionEnvStore",
    "ProcessMaintenance",
    "ProcessNotice",
    "ProcessNotices",
    "ProcessObservation",
    "ProcessRegistry",
    "ProcessRunWaits",
    "PromiseStore",
    "QueuedWorkStore",
    "ReadySession",
    "ReadySessions",
    "RegisterOutcome",
    "RunLook",
    "RunScopedEffects",
    "RuntimeEffectController",
    "RuntimeEffectLocalExecutor",
    "RuntimePersistence",
    "ScopedEffects",
    "SessionExecutionLeases",
    "SessionNotices",
    "SessionProcess",
    "SessionProcessPage",
    "SessionStoreFactory",
    "SessionSummary",
    "SigningSecrets",
    "StagedAttachment",
    "StartsProcess",
    "SubscriptionItem",
    "SweptContent",
    "TriggerFilter",
    "TriggerPage",
    "TriggerStore",
    "TurnInputStore",
    "TurnJournal",
    "TurnRun",
    "TurnScopedEffects",
    "WaitingDelivery",
]

_MODULES = (
    "artifact_store",
    "attachment_manifest",
    "attachment_store",
    "background_task_store",
    "client_stores",
    "content_sweep",
    "effect_host",
    "effect_journal",
    "fleet_directory",
    "live_replay_store",
    "login_tickets",
    "process_batches",
    "process_env_store",
    "process_maintenance",
    "process_notices",
    "process_observation",
    "process_registry",
    "process_run_waits",
    "promise_store",
    "queued_work_store",
    "ready_sessions",
    "runtime_persistence",
    "session_execution_lease",
    "session_notices",
    "trigger_store",
    "turn_input_store",
    "turn_journal",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            home = import_module(f"{__name__}.{module}")
            if hasattr(home, name):
                value = globals()[name] = getattr(home, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
