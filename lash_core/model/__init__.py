"""Data and rules of lash: every type of the contracts. Pure: no I/O, no clock. Loaded when first used."""

# Type checkers read the names from the modules; the list below is what is public, and a test keeps it true.
# ruff: noqa: F403, F405

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not when first used: importing the module of that name would put the module where the function belongs.
from lash_core.model.canonical_json import canonical_json

if TYPE_CHECKING:
    from lash_core.model.agent_frame import *
    from lash_core.model.async_handle import *
    from lash_core.model.attachment import *
    from lash_core.model.audit import *
    from lash_core.model.await_event import *
    from lash_core.model.await_output import *
    from lash_core.model.background_task import *
    from lash_core.model.base import *
    from lash_core.model.canonical_json import *
    from lash_core.model.chronological_projection import *
    from lash_core.model.disposition import *
    from lash_core.model.effect import *
    from lash_core.model.effect_digest import *
    from lash_core.model.effect_record import *
    from lash_core.model.environment import *
    from lash_core.model.event import *
    from lash_core.model.event_type import *
    from lash_core.model.execution_scope import *
    from lash_core.model.facts import *
    from lash_core.model.ids import *
    from lash_core.model.lease import *
    from lash_core.model.limits import *
    from lash_core.model.manifest import *
    from lash_core.model.message import *
    from lash_core.model.model_call import *
    from lash_core.model.monitor import *
    from lash_core.model.observation_codec import *
    from lash_core.model.owner import *
    from lash_core.model.payload_schema import *
    from lash_core.model.plugin_snapshot import *
    from lash_core.model.process_command import *
    from lash_core.model.process_filter import *
    from lash_core.model.process_handle import *
    from lash_core.model.process_input import *
    from lash_core.model.queue_selection import *
    from lash_core.model.queued_work import *
    from lash_core.model.receipts import *
    from lash_core.model.record import *
    from lash_core.model.registration import *
    from lash_core.model.reports import *
    from lash_core.model.scope import *
    from lash_core.model.selector import *
    from lash_core.model.session import *
    from lash_core.model.session_commit import *
    from lash_core.model.session_cursor import *
    from lash_core.model.session_graph import *
    from lash_core.model.session_lease import *
    from lash_core.model.session_node import *
    from lash_core.model.session_observation import *
    from lash_core.model.session_read_model import *
    from lash_core.model.session_snapshot import *
    from lash_core.model.session_state import *
    from lash_core.model.step_retry import *
    from lash_core.model.tool_control import *
    from lash_core.model.tool_invocation import *
    from lash_core.model.tool_output import *
    from lash_core.model.tool_retry import *
    from lash_core.model.tool_state import *
    from lash_core.model.trigger import *
    from lash_core.model.trigger_command import *
    from lash_core.model.trigger_limits import *
    from lash_core.model.trigger_occurrence import *
    from lash_core.model.trigger_schedule import *
    from lash_core.model.turn_activity import *
    from lash_core.model.turn_control import *
    from lash_core.model.turn_input import *
    from lash_core.model.turn_outcome import *
    from lash_core.model.usage import *
    from lash_core.model.wake_draft import *

# The formatter would put each name on a line of its own: 350 of them.
# fmt: off
__all__ = [
    "CORE_EVENT_TYPES", "EMPTY_ENVIRONMENT", "EMPTY_ENV_REF", "SCHEDULE_SOURCE_TYPE", "WAKE_TYPE", "YIELD_TYPE",
    "AbandonEvidence", "AbandonRequest", "AbandonWriter", "Abandoned", "AbandonedOutput", "Accepted", "Acquired",
    "ActivePath", "ActiveTurnIngress", "AgentFrameAssignment", "AgentFrameRecord", "AgentFrameSwitchOutcome",
    "AgentFrameSwitchedPayload", "AgentFrameTaskPayload", "AlreadyResolved", "AnyAwaitOutput", "AnyDedupe",
    "AnyLiveness", "AnyOriginator", "AnyProcessCommand", "AnyProcessInput", "AnyProcessStatus", "AnySelector",
    "AnySessionRelation", "AnyToolOutput", "AssembledTurn", "AssistantMessageFinish", "AssistantOutput",
    "AsyncHandleMetadata", "AsyncHandleNamespace", "AttachmentInput", "AttachmentIntent", "AttachmentOwner",
    "AttachmentOwnerKind", "AttachmentPart", "AuditEntry", "AuditKind", "AwaitEventKey", "AwaitEventWaitIdentity",
    "AwaitProcess", "BackgroundTaskAttempt", "BackgroundTaskCancelPolicy", "BackgroundTaskClosePolicy",
    "BackgroundTaskCompletion", "BackgroundTaskEvent", "BackgroundTaskFilter", "BackgroundTaskKind",
    "BackgroundTaskOutcome", "BackgroundTaskRecord", "BackgroundTaskRegistration", "BackgroundTaskScope",
    "BackgroundTaskState", "BackgroundTaskUpdate", "Busy", "CancelOutcome", "CancelPolicy", "CancelProcess",
    "CancelReceipt", "CancelRequest", "Cancelled", "CancelledOutput", "CausalRef", "ChangeCursor", "CheckpointDraft",
    "ChildRelation", "ChildStart", "ChronologicalEntry", "ChronologicalProjection", "ClaimBoundary", "ClaimOutcome",
    "ClaimedProcess", "ClosePolicy", "CommitManifest", "CommittedPayload", "CommittedReference", "CommittedTurn",
    "Completed", "CompletionAuthority", "ConstDedupe", "ConstSelector", "ConversationEvent", "CursorParts",
    "DeleteSessionProcesses", "DeleteTrigger", "DeliveryPolicy", "DeliverySettlement", "DisableTrigger", "Divergence",
    "DueSchedule", "DurabilityTier", "EffectAnswer", "EffectClaim", "EffectClaimed", "EffectConflict",
    "EffectInProgress", "EffectKind", "EffectRecord", "EffectRecorded", "EffectScope", "EffectSubject", "EffectWrite",
    "EnableTrigger", "EngineInput", "EventIdentityDedupe", "EventPayload", "ExecutionScope", "ExternalInput",
    "FailControl", "Failed", "FailureOutput", "FilterStatus", "FinalValueFinish", "FinishControl", "FinishedOutcome",
    "FiredTick", "FullGraph", "GcReport", "GrantProcess", "GraphAppend", "GraphCommitDelta", "GraphReplaceFull",
    "GraphSnapshot", "GraphUnchanged", "HostEventPayload", "HostOriginator", "HydratedSessionCheckpoint",
    "IngestedOccurrence", "KindManifest", "LeaseOwnerIdentity", "LeaseTimings", "Limits", "ListProcesses",
    "LiveReference", "LiveReplayConfig", "LiveReplayGap", "LiveReplayGapReason", "LlmAttempt", "LlmCallRecord",
    "LocalProcessLiveness", "Lost", "MaterializedSemantics", "MaterializedTerminal", "MaterializedWake", "MergeKey",
    "Message", "Model", "ModelAttachment", "ModelFailure", "ModelLimits", "ModelReasoningDelta", "ModelRequest",
    "ModelResponse", "ModelSpec", "ModelTextDelta", "ModelUsageUpdate", "MonitorArm", "MonitorRunState", "MonitorSpec",
    "MonitorStatus", "MonitorWakePolicy", "NextTurnIngress", "OpaqueLiveness", "PayloadSelector", "PendingTurnInput",
    "PendingTurnInputDraft", "PersistedSessionConfig", "PersistedSessionRead", "PluginPayload", "PluginSessionSnapshot",
    "PluginSnapshotArtifact", "PluginSnapshotEntry", "PluginSnapshotMeta", "PointerSelector", "PreparedToolCall",
    "PresentSelector", "ProcessAwaitOutput", "ProcessChangedPayload", "ProcessChanges", "ProcessCommand",
    "ProcessEvent", "ProcessEventAppendRequest", "ProcessEventAppendResult", "ProcessEventInvocation",
    "ProcessEventSemantics", "ProcessEventSubject", "ProcessEventType", "ProcessExecutionEnvSpec", "ProcessExternalRef",
    "ProcessFilter", "ProcessHandleDescriptor", "ProcessHandleGrant", "ProcessIdentity", "ProcessInput", "ProcessLease",
    "ProcessLeaseCompletion", "ProcessListMode", "ProcessOriginator", "ProcessPage", "ProcessProvenance",
    "ProcessRecord", "ProcessRegistration", "ProcessScope", "ProcessSegmentHandover", "ProcessSpawnProvenance",
    "ProcessStartOptions", "ProcessStarted", "ProcessStatus", "ProcessTable", "ProcessWakeDelivery", "ProcessWakeDraft",
    "ProcessWakePayload", "ProtocolEvent", "PruneReport", "PruneTriggers", "QueueChangedPayload", "QueueRow",
    "QueuedWorkBatch", "QueuedWorkClaim", "QueuedWorkCompletion", "QueuedWorkDraft", "QueuedWorkItem", "ReasoningPart",
    "RecoveryDisposition", "RegisterTrigger", "ReleaseReason", "RenewOutcome", "Renewed", "Replay", "Resolution",
    "ResolveOutcome", "RetryPolicy", "ReviveTrigger", "RevokeProcess", "RootRelation", "Running", "RuntimeCommit",
    "RuntimeCommitResult", "RuntimeEffectCommand", "RuntimeEffectEnvelope", "RuntimeEffectOutcome", "RuntimeInvocation",
    "RuntimeScope", "RuntimeSessionState", "ScheduleTick", "SchemaFault", "ScopeKind", "Selector", "SelectorDedupe",
    "SessionCheckpoint", "SessionCommandPayload", "SessionCursor", "SessionDeleteReport", "SessionExecutionLease",
    "SessionExecutionLeaseCompletion", "SessionExecutionLeaseFence", "SessionGap", "SessionGraph", "SessionHead",
    "SessionHeadMeta", "SessionLeaseAcquired", "SessionLeaseBusy", "SessionLeaseTimings", "SessionMeta",
    "SessionNodeRecord", "SessionObservation", "SessionObservationEvent", "SessionObservationEventPayload",
    "SessionOriginator", "SessionPolicy", "SessionProcessEventKind", "SessionQueueEventKind", "SessionReadModel",
    "SessionReadScope", "SessionReadView", "SessionRelation", "SessionReplayed", "SessionResume", "SessionRevision",
    "SessionScope", "SessionSnapshot", "SessionStoreCreateRequest", "SessionTurnInput", "SessionUsageReport",
    "SignalProcess", "SignalReceipt", "SignalWait", "SlotPolicy", "StartProcess", "StepRetry", "StoppedOutcome",
    "Success", "SwitchFrameControl", "TaskCancelRequested", "TaskCancelled", "TaskCompleted", "TaskFailed",
    "TaskProgress", "TaskRegistered", "TaskStateChanged", "TaskTransferred", "TemplateSelector", "TerminalSemantics",
    "TerminalState", "TextInput", "TextPart", "TimerPayload", "TokenLedgerEntry", "TokenUsage", "ToolAccess",
    "ToolArgumentProjectionPolicy", "ToolCallInput", "ToolCallPart", "ToolCallRecord", "ToolCancelled", "ToolEntry",
    "ToolFailure", "ToolFailureClass", "ToolInvocationReply", "ToolManifest", "ToolRestoreReport", "ToolResultPart",
    "ToolRetryDisposition", "ToolRetryPolicy", "ToolScheduling", "ToolState", "ToolSuccess", "ToolTriggerEffectOutcome",
    "ToolValueFinish", "TransferProcesses", "TriggerConflict", "TriggerCreated", "TriggerDefinition", "TriggerDelivery",
    "TriggerLimits", "TriggerOccurrence", "TriggerOwnerScope", "TriggerSchedule", "TriggerSubscription",
    "TriggerTarget", "TriggerUnchanged", "TriggerUpdated", "TriggersPruned", "TurnActivity", "TurnActivityPayload",
    "TurnAddress", "TurnCancelEvidence", "TurnCancelReceipt", "TurnCancelRequest", "TurnCommitStamp", "TurnEvent",
    "TurnEventKind", "TurnExecution", "TurnInput", "TurnInputCancelOutcome", "TurnInputCancelTarget", "TurnInputClaim",
    "TurnInputClaimRef", "TurnInputCompletion", "TurnInputPayload", "TurnInputSuffixOutcome", "TurnIssue",
    "TurnOutcome", "TurnStampRecord", "TurnState", "TurnTerminal", "TurnToolCall", "UnknownOrRevoked", "UpdateTrigger",
    "VacuumReport", "WaitIdentity", "WaitKind", "WaitState", "WakeSemantics", "WatchItem", "WorkClass", "WorkerEntry",
    "async_handle_value", "canonical_json", "decode_await_output", "from_tool_output", "parse_async_handle",
    "parse_process_handle", "payload_hash", "process_handle_json", "process_handle_summary",
    "process_signal_event_type", "sha256_hex", "signal_event_type", "subscription_id", "to_tool_output",
    "trigger_process_id", "wake_id",
]

_MODULES = (
    "agent_frame", "async_handle", "attachment", "audit", "await_event", "await_output", "background_task", "base",
    "canonical_json", "chronological_projection", "disposition", "effect", "effect_digest", "effect_record",
    "environment", "event", "event_type", "execution_scope", "facts", "ids", "lease", "limits", "manifest",
    "message", "model_call", "monitor", "observation_codec", "owner", "payload_schema", "plugin_snapshot",
    "process_command", "process_filter", "process_handle", "process_input", "queue_selection", "queued_work",
    "receipts", "record", "registration", "reports", "scope", "selector", "session", "session_commit",
    "session_cursor", "session_graph", "session_lease", "session_node", "session_observation", "session_read_model",
    "session_snapshot", "session_state", "step_retry", "tool_control", "tool_invocation", "tool_output",
    "tool_retry", "tool_state", "trigger", "trigger_command", "trigger_limits", "trigger_occurrence",
    "trigger_schedule", "turn_activity", "turn_control", "turn_input", "turn_outcome", "usage", "wake_draft",
)
# fmt: on


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            home = import_module(f"{__name__}.{module}")
            if hasattr(home, name):
                value = globals()[name] = getattr(home, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
