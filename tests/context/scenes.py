"""Execution contexts of sessions and of held runs, without a worker."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lash_core.errors import LeaseLostError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.effect import EffectKind, EffectSubject, RuntimeInvocation, RuntimeScope
from lash_core.model.environment import EMPTY_ENV_REF, process_env_session_id
from lash_core.model.event import Replay
from lash_core.model.event_type import WAKE_TYPE, ProcessEventType
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import Acquired, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.model.session import SessionStoreCreateRequest
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.runtime.process.engine import ProcessEngineRegistry
from lash_core.runtime.process.registry_service import RegistryProcessService
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.tool_dispatch import ToolDispatchContext
from lash_core.runtime.tool_registry import ToolRegistry

Stores = InMemoryStores | RedisStores

TTL_MS = 30_000


def unique(stem: str) -> str:
    """An id that no other test has."""
    return f"{stem}-{secrets.token_hex(4)}"


def registration(process_id: str | None = None, **facts: Any) -> ProcessRegistration:
    """A rerunnable row of an engine: an event that wakes, a note, a signal with a schema."""
    given: dict[str, Any] = {
        "id": process_id or unique("process"),
        "input": ProcessInput.engine("job", {"n": 1}),
        "disposition": "rerunnable",
        "env_ref": EMPTY_ENV_REF,
        "event_types": (
            WAKE_TYPE,
            ProcessEventType(name="note"),
            ProcessEventType.signal("go", payload_schema={"type": "object"}),
            ProcessEventType.signal("stop"),
        ),
    }
    return ProcessRegistration(**(given | facts))


def turn_invocation(session_id: str, call: str = "call-1") -> RuntimeInvocation:
    """What a tool call of a turn asks with."""
    return RuntimeInvocation(
        scope=RuntimeScope(session_id, turn_id="t1", turn_index=0, protocol_iteration=0),
        subject=EffectSubject(call, EffectKind.TOOL_ATTEMPT),
        replay=Replay(key=f"{session_id}:t1:0:0:tool_attempt:{call}"),
    )


class HeldRun:
    """One attempt at a process: its lease, as a worker's held run shows it."""

    def __init__(self, lease: ProcessLease, record: ProcessRecord) -> None:
        self.lease = lease
        self.record = record
        self.lost = False

    @property
    def process_id(self) -> str:
        return self.lease.process_id

    @property
    def is_fresh(self) -> bool:
        return self.record.attempt == 0 and self.record.fenced_writes == 0

    def require(self) -> ProcessLease:
        if self.lost:
            raise LeaseLostError(self.process_id)
        return self.lease

    async def ready_for_effects(self) -> None:
        self.require()

    def working(self) -> AbstractContextManager[None]:
        return nullcontext()

    def unrecorded_start(self) -> ProcessStarted | None:
        return None


class Scene:
    """Contexts over one set of stores; effects are journaled as in a worker."""

    def __init__(self, stores: Stores, *, engines: ProcessEngineRegistry | None = None) -> None:
        self.stores = stores
        self.registry = stores.process_registry
        self.engines = engines
        self.host = JournaledEffectHost(stores.effect_journal, stores.promises)

    async def open_session(self, session_id: str) -> str:
        """A session that exists."""
        await self.stores.session_store_factory.create_store(SessionStoreCreateRequest(session_id))
        return session_id

    async def session(
        self, session_id: str | None = None, *, frame: str = "", tools: ToolRegistry | None = None, **facts: Any
    ) -> RuntimeExecutionContext:
        """The context of a session's turn."""
        session_id = session_id or await self.open_session(unique("session"))
        effects = self.host.scoped(ExecutionScope.turn(session_id, unique("turn")))
        dispatch = self._dispatch(session_id, effects, tools, frame)
        return RuntimeExecutionContext(session_id, dispatch, self.stores.env_store, self.stores.attachments, **facts)

    async def start(self, process_id: str | None = None, **facts: Any) -> ProcessRegistration:
        """A process that runs."""
        started = registration(process_id, **facts)
        await self.registry.register_process(started)
        return started

    async def hold(self, process_id: str) -> HeldRun:
        """Take the lease of a process as a worker that nobody else knows."""
        owner = LeaseOwnerIdentity.opaque("worker", unique("incarnation"))
        record = await self.registry.get_process(process_id)
        claimed = await self.registry.claim_process_lease(process_id, owner, TTL_MS)
        assert record is not None
        assert isinstance(claimed, Acquired), claimed
        return HeldRun(claimed.lease, record)

    async def crash(self, run: HeldRun) -> HeldRun:
        """The run's worker dies; the next attempt, when the lease is over."""
        await self.stores.advance_clock(TTL_MS + 1)
        return await self.hold(run.process_id)

    def run(
        self,
        run: HeldRun,
        registered: ProcessRegistration,
        *,
        tools: ToolRegistry | None = None,
        cancellation: CancellationToken | None = None,
        **facts: Any,
    ) -> RuntimeExecutionContext:
        """The context of one attempt at a process."""
        session_id = process_env_session_id(run.process_id)
        dispatch = self._dispatch(session_id, self.host.scoped_run(run), tools, "")
        context = RuntimeExecutionContext(
            session_id,
            dispatch,
            self.stores.env_store,
            self.stores.attachments,
            process_registration=registered,
            cancellation_token=cancellation,
            **facts,
        )
        return context.with_process_event_context(
            run.process_id,
            self.registry,
            session_store_factory=self.stores.session_store_factory,
            run_lease=run,
        )

    async def running(self, **facts: Any) -> RuntimeExecutionContext:
        """The context of a fresh process."""
        started = await self.start(**facts)
        return self.run(await self.hold(started.id), started)

    def service(self, context: RuntimeExecutionContext) -> RegistryProcessService:
        """The process service of the context's session."""
        return RegistryProcessService(self.registry, self._starts(context.session_id))

    def _dispatch(self, session_id: str, effects: Any, tools: ToolRegistry | None, frame: str) -> ToolDispatchContext:
        tools = tools or ToolRegistry()
        processes = RegistryProcessService(self.registry, self._starts(session_id))
        dispatch = ToolDispatchContext.of_tools(effects, tools, processes=processes)
        if not frame:
            return dispatch
        return ToolDispatchContext(
            effects, tools, dispatch.tool_catalog, processes=dispatch.processes, agent_frame_id=frame
        )

    def _starts(self, session_id: str) -> ProcessStarts:
        return ProcessStarts(
            session_id,
            env_store=self.stores.env_store,
            engines=self.engines,
            session_store_factory=self.stores.session_store_factory,
        )


def scope_of(context: RuntimeExecutionContext) -> SessionScope:
    """Who asks."""
    return context.session_scope


async def row(scene: Scene, process_id: str) -> ProcessRecord:
    """A row that is there."""
    record = await scene.registry.get_process(process_id)
    assert record is not None, process_id
    return record
