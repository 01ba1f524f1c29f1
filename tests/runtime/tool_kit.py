"""A turn whose tools run: its effects journaled in memory or not at all, its live events kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.base import JsonValue
from lash_core.model.chronological_projection import ChronologicalProjection
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite
from lash_core.model.message import ToolCallPart
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_commit import TurnStampRecord
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.model.session_state import SessionReadView
from lash_core.model.tool_output import AnyToolOutput, ToolFailure, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_outcome import TurnToolCall
from lash_core.protocols.turn_machine import ToolCalls, ToolResults
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.inline_await_events import InlineAwaitEvents
from lash_core.runtime.process.registry_service import RegistryProcessService
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.session.lease_guard import SessionLeaseLostError
from lash_core.runtime.tool_dispatch import ToolDispatchContext, TriggerRouting
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.runtime.turns.tool_dispatcher import TurnToolDispatcher
from lash_core.runtime.turns.turn_effects import TurnEffects
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.store.turn_journal import OpenTurn


@dataclass
class Journal:
    """A turn's journal in a dict; ``failing`` errors are raised one a write."""

    entries: dict[str, EffectRecord] = field(default_factory=dict[str, EffectRecord])
    failing: list[Exception] = field(default_factory=list[Exception])

    async def load_open_turn(self, session_id: str) -> OpenTurn | None:
        return None

    async def open_turn(self, lease: SessionExecutionLeaseFence, turn: OpenTurn) -> OpenTurn:
        return turn

    async def record_turn_effects(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        writes: Sequence[EffectWrite],
        *,
        taken_batch_ids: Sequence[str] = (),
    ) -> tuple[EffectAnswer, ...]:
        if self.failing:
            raise self.failing.pop(0)
        answers: list[EffectAnswer] = []
        for write in writes:
            record = EffectRecord(
                write.key, write.kind, write.state, write.envelope_hash, write.digests, write.outcome_json
            )
            answers.append(EffectAnswer(self.entries.setdefault(write.key, record), 0))
        return tuple(answers)

    async def load_turn_effects(self, session_id: str, turn_id: str) -> tuple[EffectRecord, ...]:
        return tuple(replace(record) for record in self.entries.values())

    async def find_turn_stamp(self, session_id: str, turn_id: str) -> TurnStampRecord | None:
        return None

    async def list_stamped_turns(self, session_id: str, offset: int, limit: int) -> tuple[str, ...]:
        return ()

    def outcome(self, effect_id: str) -> Any:
        """What is recorded of an effect of the turn ``t``."""
        return self.entries[f"turn:t:{effect_id}"].outcome

    @property
    def effect_ids(self) -> list[str]:
        """Of the tool attempts, in the order of their writes."""
        return [key.removeprefix("turn:t:") for key in self.entries]


@dataclass
class Run:
    """``TurnRun`` of a lease that a test takes away."""

    journal: Journal
    session_id: str = "s"
    turn_id: str = "t"
    is_fresh: bool = False
    lost: bool = False

    def require(self) -> SessionExecutionLeaseFence:
        if self.lost:
            raise SessionLeaseLostError(self.session_id, "taken")
        return SessionExecutionLeaseFence(
            session_id=self.session_id, owner=LeaseOwnerIdentity.opaque("w", "1"), lease_token="l", fencing_token=1
        )

    def lose(self, why: str) -> None:
        self.lost = True


@dataclass
class Turn:
    """One run of the turn ``t`` of the session ``s``; another ``Turn`` with its journal is its redo."""

    tools: Sequence[Tool] = ()
    journal: Journal = field(default_factory=Journal)
    hidden: tuple[str, ...] = ()
    history: ChronologicalProjection | Callable[[], ChronologicalProjection] | None = None
    router: TriggerRouting | None = None
    read_view: SessionReadView | None = None
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    token: CancellationToken = field(default_factory=CancellationToken)
    live: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list[tuple[str, str, dict[str, Any]]])
    parallel_max: int = 64

    def __post_init__(self) -> None:
        self.run_of = Run(self.journal)
        self.effects = TurnEffects(self.run_of, InlineAwaitEvents(), backend="memory")
        scope = TurnScope("s", "t", 3, self.effects, cancellation=self.token, sender=self._take)
        self.registry = ToolRegistry(self.tools)
        dispatch = ToolDispatchContext.of_tools(
            self.effects,
            self.registry,
            processes=RegistryProcessService(
                self.stores.process_registry, ProcessStarts("s", env_store=self.stores.env_store)
            ),
            trigger_router=self.router,
        )
        context = RuntimeExecutionContext(
            "s", dispatch, self.stores.env_store, self.stores.attachments, self.history, cancellation_token=self.token
        )
        self.dispatcher = TurnToolDispatcher(
            scope, context, self.registry, read_view=self.read_view, parallel_max=self.parallel_max
        )

    async def _take(self, activity: TurnActivity) -> None:
        self.live.append((activity.event.type, activity.correlation_id, dict(activity.event.facts)))

    async def dispatch(self, *calls: ToolCallPart, iteration: int = 0) -> tuple[ToolResults, tuple[TurnToolCall, ...]]:
        """One round of calls."""
        return await self.dispatcher.run(ToolCalls(f"tools:{iteration}", iteration, calls))

    async def outputs(self, *calls: ToolCallPart, iteration: int = 0) -> list[AnyToolOutput]:
        """The outputs of one round."""
        results, _ = await self.dispatch(*calls, iteration=iteration)
        return list(results.outputs)


def tool(name: str, run: Callable[[ToolContext, JsonValue], Awaitable[Any]] | None = None, **manifest: Any) -> Tool:
    """A tool; without code it answers its arguments. What is no output becomes a success."""

    async def call(context: ToolContext, args: JsonValue) -> Any:
        if run is None:
            return ToolSuccess(args)
        value = await run(context, args)
        return value if hasattr(value, "control") or isinstance(value, Odd) else ToolSuccess(value)

    return Tool(ToolManifest(tool_id=f"id-{name}", name=name, **manifest), call)


class Odd:
    """What is no output."""


def call(name: str, call_id: str = "c", args: Any = None) -> ToolCallPart:
    """A call."""
    return ToolCallPart(call_id, name, {} if args is None else args)


def failure(message: str = "no", **facts: Any) -> ToolFailure:
    """A failure of a tool."""
    return ToolFailure.model_validate({"class": "external", "code": "x", "message": message, **facts})
