"""What a ``RuntimeExecutionContext`` knows, and the copies that know more (contract 4.1)."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Self

from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.effect import RuntimeInvocation
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.model.process_command import ProcessSpawnProvenance
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import AnyOriginator, ProcessOriginator, SessionScope
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.process.op_scope import ProcessOpScope
from lash_core.runtime.run_lease import RunLease
from lash_core.runtime.run_waits import RunWaits
from lash_core.runtime.tool_dispatch import ToolDispatchContext
from lash_core.runtime.turn_activities import QueuedWorkPoke, TurnEventSender
from lash_core.runtime.turn_context import ProtocolTurnExtensionHandle, RuntimeTurnPhaseProbe, TurnContext
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.process_env_store import ProcessExecutionEnvStore
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory


@dataclass(frozen=True, slots=True)
class ProcessEventContext:
    """The process that a context runs, and where its events go.

    Attributes:
        process_id: the process.
        registry: its registry.
        store: of the session that its wakes go to, when that is one session.
        session_store_factory: opens the sessions that wakes go to.
        queued_work_poke: called with the session that an event woke; a hint, its failure is logged.
        run_lease: every write about the process carries it; None in a direct run.
        waits: of the run; None in a direct run.
    """

    process_id: str
    registry: ProcessRegistry
    store: RuntimePersistence | None = None
    session_store_factory: SessionStoreFactory | None = None
    queued_work_poke: QueuedWorkPoke | None = None
    run_lease: RunLease | None = None
    waits: RunWaits | None = None

    def may_write(self) -> bool:
        """False once the run has lost its lease."""
        return self.run_lease is None or not self.run_lease.lost


class StartedProcesses:
    """Ids of the processes that a run started itself: in memory only, gone with the run. Safe from any thread."""

    __slots__ = ("_ids", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()

    def add(self, process_id: str) -> None:
        """Note one."""
        with self._lock:
            self._ids.add(process_id)

    def __contains__(self, process_id: object) -> bool:
        with self._lock:
            return process_id in self._ids


class _History:
    """The history when the run began: given, or made when somebody asks for it first. Shared by all copies."""

    __slots__ = ("_made", "_source")

    def __init__(self, source: ChronologicalProjection | Callable[[], ChronologicalProjection] | None) -> None:
        self._made = source if isinstance(source, ChronologicalProjection) else None
        self._source = None if isinstance(source, ChronologicalProjection) else source

    def get(self) -> ChronologicalProjection:
        """The projection, always the same one."""
        if self._made is None:
            self._made = ChronologicalProjection() if self._source is None else self._source()
            self._source = None
        return self._made


class ContextState:
    """The facts of a context. Copies made by ``with_…`` share what the run started; nothing else of them is mutable."""

    def __init__(  # noqa: PLR0913, PLR0917 - the seed's constructor, and its builders as keywords
        self,
        session_id: str,
        dispatch: ToolDispatchContext,
        process_env_store: ProcessExecutionEnvStore,
        attachment_store: AttachmentStore | SessionAttachments,
        chronological_projection: ChronologicalProjection | Callable[[], ChronologicalProjection] | None = None,
        protocol_extension: ProtocolTurnExtensionHandle | None = None,
        turn_context: TurnContext | None = None,
        *,
        execution_env_spec: ProcessExecutionEnvSpec | None = None,
        process_registration: ProcessRegistration | None = None,
        process_event_context: ProcessEventContext | None = None,
        parent_invocation: RuntimeInvocation | None = None,
        cancellation_token: CancellationToken | None = None,
        turn_event_sender: TurnEventSender | None = None,
        turn_phase_probe: RuntimeTurnPhaseProbe | None = None,
    ) -> None:
        self._session_id = session_id
        self._dispatch = dispatch
        self._process_env_store = process_env_store
        self._attachment_store = attachment_store
        self._history = _History(chronological_projection)
        self._protocol_extension = protocol_extension
        self._turn_context = turn_context or TurnContext()
        self._execution_env_spec = execution_env_spec or ProcessExecutionEnvSpec()
        self._registration = process_registration
        self._event_context = process_event_context
        self._parent_invocation = parent_invocation
        self._cancellation_token = cancellation_token or CancellationToken()
        self._turn_event_sender = turn_event_sender
        self._turn_phase_probe = turn_phase_probe
        self._started = StartedProcesses()
        self._hands_history_on = False

    # -- copies -----------------------------------------------------------------------------------------

    def with_process_registration_context(self, registration: ProcessRegistration) -> Self:
        """A copy that runs this process: its children inherit originator, wake target and environment."""
        return self._with(_registration=registration)

    def with_process_event_context(
        self,
        process_id: str,
        registry: ProcessRegistry,
        store: RuntimePersistence | None = None,
        session_store_factory: SessionStoreFactory | None = None,
        queued_work_poke: QueuedWorkPoke | None = None,
        *,
        run_lease: RunLease | None = None,
        waits: RunWaits | None = None,
    ) -> Self:
        """A copy that may append events; see ``ProcessEventContext``."""
        context = ProcessEventContext(
            process_id, registry, store, session_store_factory, queued_work_poke, run_lease, waits
        )
        return self._with(_event_context=context)

    def with_parent_invocation(self, parent_invocation: RuntimeInvocation | None) -> Self:
        """A copy on behalf of another invocation: effects of two parents have two keys."""
        return self._with(_parent_invocation=parent_invocation)

    def with_cancellation_token(self, cancellation_token: CancellationToken) -> Self:
        """A copy whose waits end with this token."""
        return self._with(_cancellation_token=cancellation_token)

    def with_execution_env_spec(self, execution_env_spec: ProcessExecutionEnvSpec) -> Self:
        """A copy that captures this environment for what it starts."""
        return self._with(_execution_env_spec=execution_env_spec)

    def with_turn_event_sender(self, turn_event_sender: TurnEventSender | None) -> Self:
        """A copy that streams its turn activity there."""
        return self._with(_turn_event_sender=turn_event_sender)

    def with_turn_phase_probe(self, turn_phase_probe: RuntimeTurnPhaseProbe | None) -> Self:
        """A copy whose named phases are told to this probe."""
        return self._with(_turn_phase_probe=turn_phase_probe)

    def with_history_for_children(self) -> Self:
        """A copy whose children are started with the newest part of its history."""
        return self._with(_hands_history_on=True)

    # -- reads ------------------------------------------------------------------------------------------

    @property
    def session_id(self) -> str:
        """The session that runs; of a process with a captured environment ``process-env:<pid>``."""
        return self._session_id

    @property
    def execution_scope_id(self) -> str:
        """Id of the scope whose effects these are."""
        return self._dispatch.effect_controller.scope_id

    @property
    def session_scope(self) -> SessionScope:
        """The session, or its frame when the dispatch has one."""
        return SessionScope.for_agent_frame(self._session_id, self._dispatch.agent_frame_id)

    @property
    def runtime_process_id(self) -> str | None:
        """The process that this context runs; None for a session's own."""
        return None if self._registration is None else self._registration.id

    @property
    def process_originator(self) -> AnyOriginator | None:
        """Where the chain of the running process comes from; None outside a process."""
        return None if self._registration is None else self._registration.provenance.originator

    @property
    def trigger_registration_originator(self) -> AnyOriginator:
        """Who registers a trigger here: the chain's originator, else the session scope."""
        return self.process_originator or ProcessOriginator.session(self.session_scope)

    @property
    def trigger_registration_wake_target(self) -> SessionScope:
        """Whom a trigger registered here wakes: the chain's wake target, else the session scope."""
        target = None if self._registration is None else self._registration.wake_target
        return target or self.session_scope

    @property
    def process_spawn_provenance(self) -> ProcessSpawnProvenance | None:
        """What children inherit; None outside a process. The ephemeral execution scope is never part of it."""
        if self._registration is None:
            return None
        return ProcessSpawnProvenance(self._registration.provenance.originator, self._registration.wake_target)

    @property
    def parent_invocation(self) -> RuntimeInvocation | None:
        """The invocation that asks, or None."""
        return self._parent_invocation

    @property
    def cancellation_token(self) -> CancellationToken:
        """Ends the waits of this context."""
        return self._cancellation_token

    def record_started_process(self, process_id: str) -> None:
        """Note that this run started a process: its handle is enough to await and cancel it."""
        self._started.add(process_id)

    def is_run_local_process(self, process_id: str) -> bool:
        """True when this run started the process, in this attempt; shared by all copies of the context."""
        return process_id in self._started

    def process_scope(self, parent_invocation: RuntimeInvocation | None = None) -> ProcessOpScope:
        """The scope of process operations asked for by this context."""
        return ProcessOpScope(
            self._dispatch.effect_controller,
            parent_invocation or self._parent_invocation,
            self._dispatch.agent_frame_id or None,
            self._cancellation_token,
        )

    @property
    def _waits_of_run(self) -> RunWaits | None:
        return None if self._event_context is None else self._event_context.waits

    def _at_work(self) -> AbstractContextManager[None]:
        """Around what is no wait: a run that another branch holds in a wait must not be parked in the middle of it.

        Raises:
            asyncio.CancelledError: the run ends here.
        """
        waits = self._waits_of_run
        return nullcontext() if waits is None else waits.working()

    def _with(self, **changes: Any) -> Self:
        other = copy.copy(self)
        vars(other).update(changes)
        return other
