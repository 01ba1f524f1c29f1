"""What the tools of a turn see of the runtime, and who runs their calls (``docs/contracts/sessions.md`` 3.3)."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

from typing_extensions import override

from lash_core.client_enqueue import KindResolver
from lash_core.client_trigger_starts import TriggerStarts
from lash_core.memory_store.content_stores import MemoryProcessEnvStore
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.session_state import SessionReadView
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.background.session_tasks import SessionTasks
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.process.registry_service import RegistryProcessService
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.tool_dispatch import ToolDispatchContext
from lash_core.runtime.trigger_router import TriggerRouter
from lash_core.runtime.turn_activities import TurnEventSender, tell_process_changed
from lash_core.runtime.turn_context import ProtocolTurnExtensionHandle, TurnContext
from lash_core.runtime.turns.tool_dispatcher import TurnToolDispatcher
from lash_core.runtime.turns.turn_at_work import TurnAtWork
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.trigger_store import TriggerStore

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


def tools_of_turn(turn: TurnAtWork) -> TurnToolDispatcher:
    """The dispatcher of a turn's tool calls."""
    view = SessionReadView.from_persisted_state(turn.draft)
    return TurnToolDispatcher(turn.scope, context_of_turn(turn), turn.runtime.tools, read_view=view)


def context_of_turn(turn: TurnAtWork) -> RuntimeExecutionContext:
    """The execution context of a turn: the session itself, its frame, its effects."""
    runtime, scope = turn.runtime, turn.scope
    durability = runtime.host.core.durability
    given = turn.given.input
    context = given.turn_context if given is not None else None
    extension = given.protocol_extension if given is not None else None
    kinds = KindResolver(runtime.host.core.directory, runtime.plugins.host)
    dispatch = ToolDispatchContext.of_tools(
        scope.effects,
        runtime.tools,
        processes=_processes(runtime, scope.sender),
        trigger_router=_triggers(runtime, kinds),
    )
    made = TurnExecutionContext(
        runtime.session_id,
        replace(dispatch, agent_frame_id=scope.agent_frame_id),
        durability.process_env_store or MemoryProcessEnvStore(),
        _attachments(turn),
        protocol_extension=extension if isinstance(extension, ProtocolTurnExtensionHandle) else None,
        turn_context=context if isinstance(context, TurnContext) else None,
        execution_env_spec=ProcessExecutionEnvSpec(policy=turn.draft.effective_policy().to_json_value()),
        cancellation_token=scope.cancellation,
        turn_event_sender=scope.sender,
        turn_phase_probe=scope.probe,
    )
    made.history = _LazyHistory(SessionReadView.from_persisted_state(turn.draft))
    made.kinds = kinds
    made.tasks = SessionTasks(runtime)
    return made


class TurnExecutionContext(RuntimeExecutionContext):
    """The context of a turn: its history is projected only when somebody reads it.

    Attributes:
        history: the session as it was when the machine began; shared by copies.
        kinds: finds the manifests of processes that tools start.
        tasks: of the session: what tools start beside its turns.
    """

    history: _LazyHistory | None = None
    kinds: KindResolver | None = None
    tasks: SessionTasks | None = None

    @property
    @override
    def chronological_projection(self) -> ChronologicalProjection:
        """The session's history when the machine began."""
        return super().chronological_projection if self.history is None else self.history.projection


class _LazyHistory:
    """A history of ten thousand nodes costs nothing as long as no tool looks."""

    def __init__(self, view: SessionReadView) -> None:
        self._view = view

    @cached_property
    def projection(self) -> ChronologicalProjection:
        """Made once."""
        return ChronologicalProjection.of_nodes(self._view.read_model.active_events)


def _attachments(turn: TurnAtWork) -> AttachmentStore | SessionAttachments:
    """What comes in during the turn is the turn's: its commit stamps the references."""
    attachments = turn.runtime.attachments or turn.runtime.host.core.durability.attachment_store
    if isinstance(attachments, SessionAttachments):
        return attachments.with_owner(AttachmentOwner.turn(turn.turn_id))
    return attachments


def _processes(runtime: LashRuntime, sender: TurnEventSender | None) -> RegistryProcessService | None:
    """None where the runtime has no registry, or nowhere to keep what its processes run with."""
    registry, env_store = runtime.host.process_registry, runtime.host.core.durability.process_env_store
    if registry is None or env_store is None:
        return None
    starts = ProcessStarts(
        runtime.session_id,
        env_store=env_store,
        engines=runtime.process_engines,
        session_store_factory=runtime.session_store_factory,
        host_profile_id=runtime.host.core.profile.host_profile_id,
    )
    return RegistryProcessService(registry, starts, on_change=partial(tell_process_changed, sender))


def _triggers(runtime: LashRuntime, kinds: KindResolver) -> TriggerRouter | None:
    """What tools emit occurrences through; None where the host has no triggers or no processes to start."""
    registry = runtime.host.process_registry
    store = runtime.host.trigger_store or runtime.host.core.durability.trigger_store
    if registry is None or not isinstance(store, TriggerStore):
        return None
    return TriggerRouter(store, registry, TriggerStarts(kinds))
