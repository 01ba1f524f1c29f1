"""A turn whose model calls are recorded in memory, and what its watcher saw."""

from __future__ import annotations

from typing import Any

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.message import Message
from lash_core.model.model_call import (
    ModelRequest,
)
from lash_core.model.session import ModelSpec
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_outcome import LlmCallRecord
from lash_core.protocols.providers.model_provider import ModelProvider
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.protocols.turn_machine import LlmCall, LlmResult
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.turns.model_caller import ModelCaller
from lash_core.runtime.turns.turn_scope import TurnScope
from lash_core.store.effect_host import ScopedEffects

REQUEST = ModelRequest(model=ModelSpec("m"), messages=(Message.user("hi"),))
CALL = LlmCall("e0", 0, ())
QUICK = ModelRetryPolicy(backoff_ms=0, backoff_max_ms=0, retry_after_max_ms=0)


class Turn:
    """A turn whose effects are recorded in memory, and what its watcher saw."""

    def __init__(self, provider: ModelProvider, policy: ModelRetryPolicy = QUICK, effects: Any = None) -> None:
        self.stores = InMemoryStores()
        self.seen: list[TurnActivity] = []
        self.token = CancellationToken()
        self.provider = provider
        self.policy = policy
        self.effects: ScopedEffects = effects or self.stores.effect_host.scoped(ExecutionScope.turn("s", "t"))

    async def _watch(self, activity: TurnActivity) -> None:
        self.seen.append(activity)

    @property
    def scope(self) -> TurnScope:
        return TurnScope("s", "t", 1, self.effects, cancellation=self.token, sender=self._watch)

    async def call(self, call: LlmCall = CALL) -> tuple[LlmResult, LlmCallRecord]:
        return await ModelCaller(self.scope, self.provider, self.policy).call(call, REQUEST, {"head": 1})

    @property
    def kinds(self) -> list[str]:
        return [activity.event.type for activity in self.seen]

    def of(self, kind: str) -> list[TurnActivity]:
        return [activity for activity in self.seen if activity.event.type == kind]
