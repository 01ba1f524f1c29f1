"""Counts the effects of a run on their way to the controller."""

from __future__ import annotations

from prometheus_client import Counter

from lash_core.model.effect import RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.await_event_door import HasAwaitEvents
from lash_core.store.effect_host import AwaitEventResolver, RuntimeEffectLocalExecutor, ScopedEffects


class CountedEffects(HasAwaitEvents):
    """``ScopedEffects`` that counts each effect once: ``run`` when its local executor was called, else ``replay``."""

    __slots__ = ("_counter", "_inner")

    def __init__(self, inner: ScopedEffects, counter: Counter) -> None:
        self._inner = inner
        self._counter = counter

    @property
    def scope(self) -> ExecutionScope:
        """The scope."""
        return self._inner.scope

    @property
    def scope_id(self) -> str:
        """The scope's id."""
        return self._inner.scope_id

    @property
    def await_events(self) -> AwaitEventResolver:
        """The promises of the host."""
        return self._inner.await_events

    async def execute_effect(
        self, envelope: RuntimeEffectEnvelope, local_executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Execute or replay, and count. Raises: whatever the controller raises."""
        source = "replay"

        async def counted(wanted: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            nonlocal source
            source = "run"
            return await local_executor(wanted)

        try:
            return await self._inner.execute_effect(envelope, counted)
        finally:
            self._counter.labels(envelope.kind.value, source).inc()
