"""What a running context dispatches through: tools, effects, processes, triggers."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Protocol

from lash_core.errors import NotAvailableError
from lash_core.model.base import JsonValue
from lash_core.model.tool_invocation import ToolTriggerEffectOutcome
from lash_core.model.tool_state import (
    MATERIALIZE_PROJECTED_VALUES,
    ToolArgumentProjectionPolicy,
    ToolManifest,
    ToolScheduling,
)
from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.runtime.process.cancel import DefaultProcessCancelAbility, ProcessCancelAbility
from lash_core.runtime.process.service import ProcessService
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.trigger_router import EmitReport
from lash_core.store.effect_host import ScopedEffects
from lash_core.store.trigger_store import TriggerStore


class ToolCatalog:
    """The tools that a run may call: fixed when the run begins, whatever is registered later."""

    __slots__ = ("_by_id", "_by_name", "manifests")

    def __init__(self, manifests: Iterable[ToolManifest] = ()) -> None:
        self.manifests = tuple(manifests)
        self._by_name = {manifest.name: manifest for manifest in self.manifests}
        self._by_id = {manifest.tool_id: manifest for manifest in self.manifests}

    @classmethod
    def of_registry(cls, tools: ToolRegistry) -> ToolCatalog:
        """The members of a registry, by name."""
        return cls(tools.catalog())

    def named(self, name: str) -> ToolManifest | None:
        """The tool of that name."""
        return self._by_name.get(name)

    def identified(self, tool_id: str) -> ToolManifest | None:
        """The tool of that id."""
        return self._by_id.get(tool_id)

    def scheduling(self, name: str) -> ToolScheduling:
        """How calls of a tool may run; a tool that is unknown runs beside others, and fails by itself."""
        manifest = self.named(name)
        return ToolScheduling.PARALLEL if manifest is None else manifest.scheduling

    def argument_projection(self, name: str) -> ToolArgumentProjectionPolicy:
        """What becomes of projected values in a tool's arguments; materialized for a tool that is unknown."""
        manifest = self.named(name)
        return MATERIALIZE_PROJECTED_VALUES if manifest is None else manifest.argument_projection


class ToolTriggerOutcomeBuffer:
    """Outcomes of occurrences that tools emitted, until a reply takes them. Safe from any thread."""

    __slots__ = ("_lock", "_outcomes")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outcomes: list[ToolTriggerEffectOutcome] = []

    def enqueue(self, outcome: ToolTriggerEffectOutcome) -> None:
        """Add one."""
        with self._lock:
            self._outcomes.append(outcome)

    def drain(self) -> tuple[ToolTriggerEffectOutcome, ...]:
        """Take all there are, in order: each is taken once."""
        with self._lock:
            taken, self._outcomes = self._outcomes, []
        return tuple(taken)


class TriggerRouting(Protocol):
    """The part of a trigger router that contexts and tools use; ``TriggerRouter`` is one."""

    @property
    def store(self) -> TriggerStore:
        """Subscriptions and occurrences."""
        ...

    async def emit(self, occurrence: TriggerOccurrence) -> EmitReport:
        """Take in an occurrence and start its deliveries. Safe to repeat."""
        ...


class ToolTriggers:
    """Lets a tool emit occurrences; what came of them waits for the reply of the call.

    An emit is no effect of its own: a tool attempt is one entry of a journal, and an occurrence that is emitted again
    under its idempotency key starts nothing again.
    """

    __slots__ = ("_outcomes", "_router")

    def __init__(self, router: TriggerRouting, outcomes: ToolTriggerOutcomeBuffer) -> None:
        self._router = router
        self._outcomes = outcomes

    async def emit(self, occurrence: TriggerOccurrence, *, source: JsonValue = None) -> ToolTriggerEffectOutcome:
        """Emit an occurrence. Safe to repeat: the same one starts nothing twice.

        Args:
            occurrence: what happened; its idempotency key tells two of them apart.
            source: what the reply says of where it came from.

        Raises:
            InvalidArgumentError, LimitExceededError: nothing was taken in. StoreUnreachableError, OutcomeUnknownError.
        """
        report = await self._router.emit(occurrence)
        stored = report.occurrence
        outcome = ToolTriggerEffectOutcome(
            source_type=stored.source_type,
            source_key=stored.source_key,
            occurrence_id=stored.occurrence_id,
            idempotency_key=stored.idempotency_key,
            payload=stored.payload,
            source=source,
            deliveries=tuple(asdict(delivery) for delivery in report.deliveries),
        )
        self._outcomes.enqueue(outcome)
        return outcome


@dataclass(frozen=True, slots=True)
class ToolDispatchContext:
    """Services of one run or turn, shared by all contexts made for it.

    Attributes:
        effect_controller: the effects of the execution scope.
        tools: the session's tools.
        tool_catalog: those that this run may call; the members when it began by default.
        processes: None where the runtime has no process registry.
        process_cancel_ability: the host's say over cancels.
        trigger_router: None where triggers are not configured.
        agent_frame_id: the frame that runs; blank = the session itself.
        trigger_outcomes: what tools emitted and no reply has taken yet.
    """

    effect_controller: ScopedEffects
    tools: ToolRegistry = field(default_factory=ToolRegistry)
    tool_catalog: ToolCatalog = field(default_factory=ToolCatalog)
    processes: ProcessService | None = None
    process_cancel_ability: ProcessCancelAbility = field(default_factory=DefaultProcessCancelAbility)
    trigger_router: TriggerRouting | None = None
    agent_frame_id: str = ""
    trigger_outcomes: ToolTriggerOutcomeBuffer = field(default_factory=ToolTriggerOutcomeBuffer)

    @classmethod
    def of_tools(
        cls,
        effect_controller: ScopedEffects,
        tools: ToolRegistry,
        *,
        processes: ProcessService | None = None,
        trigger_router: TriggerRouting | None = None,
    ) -> ToolDispatchContext:
        """A dispatch whose catalog is what the registry has now."""
        return cls(
            effect_controller,
            tools,
            ToolCatalog.of_registry(tools),
            processes=processes,
            trigger_router=trigger_router,
        )

    @property
    def tool_triggers(self) -> ToolTriggers | None:
        """What tools emit through; None where triggers are not configured."""
        return None if self.trigger_router is None else ToolTriggers(self.trigger_router, self.trigger_outcomes)

    def require_processes(self) -> ProcessService:
        """The process service. Raises: NotAvailableError: this runtime has none."""
        if self.processes is None:
            raise NotAvailableError("processes are unavailable in this runtime")
        return self.processes
