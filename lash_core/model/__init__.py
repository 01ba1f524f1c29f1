"""Data and rules of lash: every type of the contracts. Pure: no I/O, no clock. Loaded when first used."""

# Type checkers read the names from the modules; the list below is what is public, and a test keeps it true.
# ruff: noqa: F403, F405

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Not when first used: importing the module of that name would put the module where the function belongs.
from lash_core.model.canonical_json import canonical_json

if TYPE_CHECKING:
    from lash_core.model.attachment import *
    from lash_core.model.audit import *
    from lash_core.model.await_event import *
    from lash_core.model.await_output import *
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
    from lash_core.model.owner import *
    from lash_core.model.payload_schema import *
    from lash_core.model.plugin_snapshot import *
    from lash_core.model.process_command import *
    from lash_core.model.process_filter import *
    from lash_core.model.process_handle import *
    from lash_core.model.process_input import *
    from lash_core.model.receipts import *
    from lash_core.model.record import *
    from lash_core.model.registration import *
    from lash_core.model.reports import *
    from lash_core.model.scope import *
    from lash_core.model.selector import *
    from lash_core.model.session import *
    from lash_core.model.step_retry import *
    from lash_core.model.tool_invocation import *
    from lash_core.model.tool_output import *
    from lash_core.model.tool_state import *
    from lash_core.model.trigger import *
    from lash_core.model.trigger_command import *
    from lash_core.model.trigger_limits import *
    from lash_core.model.trigger_occurrence import *
    from lash_core.model.trigger_schedule import *
    from lash_core.model.turn_activity import *
    from lash_core.model.wake_draft import *

__all__ = [
    "CORE_EVENT_TYPES",
    "EMPTY_ENVIRONMENT",
    "EMPTY_ENV_REF",
    "SCHEDULE_SOURCE_TYPE",
    "WAKE_TYPE",
    "YIELD_TYPE",
    "AbandonEvidence",
    "AbandonRequest",
    "AbandonWriter",
    "Abandoned",
    "AbandonedOutput",
    "Accepted",
    "Acquired",
    "AlreadyResolved",
    "AnyAwaitOutput",
    "AnyDedupe",
    "AnyLiveness",
    "AnyOriginator",
    "AnyProcessCommand",
    "AnyProcessInput",
    "AnyProcessStatus",
    "AnySelector",
    "AnySessionRelation",
    "AnyToolOutput",
    "AttachmentIntent",
    "AttachmentOwner",
    "AttachmentOwnerKind",
    "AuditEntry",
    "AuditKind",
    "AwaitEventKey",
    "AwaitEventWaitIdentity",
    "AwaitProcess",
    "Busy",
    "CancelOutcome",
    "CancelProcess",
    "CancelReceipt",
    "CancelRequest",
    "Cancelled",
    "CancelledOutput",
    "CausalRef",
    "ChangeCursor",
    "ChildRelation",
    "ChildStart",
    "ChronologicalEntry",
    "ChronologicalProjection",
    "ClaimOutcome",
    "ClaimedProcess",
    "CommittedTurn",
    "Completed",
    "CompletionAuthority",
    "ConstDedupe",
    "ConstSelector",
    "DeleteSessionProcesses",
    "DeleteTrigger",
    "DeliverySettlement",
    "DisableTrigger",
    "Divergence",
    "DueSchedule",
    "DurabilityTier",
    "EffectAnswer",
    "EffectClaim",
    "EffectClaimed",
    "EffectConflict",
    "EffectInProgress",
    "EffectKind",
    "EffectRecord",
    "EffectRecorded",
    "EffectScope",
    "EffectSubject",
    "EffectWrite",
    "EnableTrigger",
    "EngineInput",
    "EventIdentityDedupe",
    "ExecutionScope",
    "ExternalInput",
    "Failed",
    "FailureOutput",
    "FilterStatus",
    "FiredTick",
    "GrantProcess",
    "HostOriginator",
    "IngestedOccurrence",
    "KindManifest",
    "LeaseOwnerIdentity",
    "LeaseTimings",
    "Limits",
    "ListProcesses",
    "LiveReference",
    "LocalProcessLiveness",
    "Lost",
    "MaterializedSemantics",
    "MaterializedTerminal",
    "MaterializedWake",
    "Model",
    "ModelLimits",
    "ModelSpec",
    "OpaqueLiveness",
    "PayloadSelector",
    "PluginSessionSnapshot",
    "PluginSnapshotArtifact",
    "PluginSnapshotEntry",
    "PluginSnapshotMeta",
    "PointerSelector",
    "PreparedToolCall",
    "PresentSelector",
    "ProcessAwaitOutput",
    "ProcessChanges",
    "ProcessCommand",
    "ProcessEvent",
    "ProcessEventAppendRequest",
    "ProcessEventAppendResult",
    "ProcessEventInvocation",
    "ProcessEventSemantics",
    "ProcessEventSubject",
    "ProcessEventType",
    "ProcessExecutionEnvSpec",
    "ProcessExternalRef",
    "ProcessFilter",
    "ProcessHandleDescriptor",
    "ProcessHandleGrant",
    "ProcessIdentity",
    "ProcessInput",
    "ProcessLease",
    "ProcessLeaseCompletion",
    "ProcessListMode",
    "ProcessOriginator",
    "ProcessPage",
    "ProcessProvenance",
    "ProcessRecord",
    "ProcessRegistration",
    "ProcessScope",
    "ProcessSegmentHandover",
    "ProcessSpawnProvenance",
    "ProcessStartOptions",
    "ProcessStarted",
    "ProcessStatus",
    "ProcessTable",
    "ProcessWakeDelivery",
    "ProcessWakeDraft",
    "PruneReport",
    "PruneTriggers",
    "RecoveryDisposition",
    "RegisterTrigger",
    "ReleaseReason",
    "RenewOutcome",
    "Renewed",
    "Replay",
    "Resolution",
    "ResolveOutcome",
    "RetryPolicy",
    "ReviveTrigger",
    "RevokeProcess",
    "RootRelation",
    "Running",
    "RuntimeEffectCommand",
    "RuntimeEffectEnvelope",
    "RuntimeEffectOutcome",
    "RuntimeInvocation",
    "RuntimeScope",
    "ScheduleTick",
    "SchemaFault",
    "ScopeKind",
    "Selector",
    "SelectorDedupe",
    "SessionDeleteReport",
    "SessionMeta",
    "SessionOriginator",
    "SessionPolicy",
    "SessionScope",
    "SessionStoreCreateRequest",
    "SessionTurnInput",
    "SignalProcess",
    "SignalReceipt",
    "SignalWait",
    "StartProcess",
    "StepRetry",
    "Success",
    "TemplateSelector",
    "TerminalSemantics",
    "TerminalState",
    "ToolArgumentProjectionPolicy",
    "ToolCallInput",
    "ToolCallRecord",
    "ToolCancelled",
    "ToolEntry",
    "ToolFailure",
    "ToolFailureClass",
    "ToolInvocationReply",
    "ToolManifest",
    "ToolRestoreReport",
    "ToolScheduling",
    "ToolState",
    "ToolSuccess",
    "ToolTriggerEffectOutcome",
    "TransferProcesses",
    "TriggerConflict",
    "TriggerCreated",
    "TriggerDefinition",
    "TriggerDelivery",
    "TriggerLimits",
    "TriggerOccurrence",
    "TriggerOwnerScope",
    "TriggerSchedule",
    "TriggerSubscription",
    "TriggerTarget",
    "TriggerUnchanged",
    "TriggerUpdated",
    "TriggersPruned",
    "TurnActivity",
    "TurnEvent",
    "TurnEventKind",
    "UnknownOrRevoked",
    "UpdateTrigger",
    "WaitIdentity",
    "WaitKind",
    "WaitState",
    "WakeSemantics",
    "WorkerEntry",
    "canonical_json",
    "decode_await_output",
    "from_tool_output",
    "parse_process_handle",
    "payload_hash",
    "process_handle_json",
    "process_handle_summary",
    "process_signal_event_type",
    "sha256_hex",
    "signal_event_type",
    "subscription_id",
    "to_tool_output",
    "trigger_process_id",
    "wake_id",
]

_MODULES = (
    "attachment",
    "audit",
    "await_event",
    "await_output",
    "base",
    "canonical_json",
    "chronological_projection",
    "disposition",
    "effect",
    "effect_digest",
    "effect_record",
    "environment",
    "event",
    "event_type",
    "execution_scope",
    "facts",
    "ids",
    "lease",
    "limits",
    "manifest",
    "owner",
    "payload_schema",
    "plugin_snapshot",
    "process_command",
    "process_filter",
    "process_handle",
    "process_input",
    "receipts",
    "record",
    "registration",
    "reports",
    "scope",
    "selector",
    "session",
    "step_retry",
    "tool_invocation",
    "tool_output",
    "tool_state",
    "trigger",
    "trigger_command",
    "trigger_limits",
    "trigger_occurrence",
    "trigger_schedule",
    "turn_activity",
    "wake_draft",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            home = import_module(f"{__name__}.{module}")
            if hasattr(home, name):
                value = globals()[name] = getattr(home, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
