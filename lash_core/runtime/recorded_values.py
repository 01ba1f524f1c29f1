"""Values that differ from run to run, recorded so that a replay gets the same: time, random numbers, UUIDs."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

from lash_core.clock import SystemClock
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.fast_build import fast_build
from lash_core.runtime.process.verbs import RunVerbs

_CLOCK = SystemClock()


class RecordedValues:
    """The recorded values of one run; each is an effect of its own, one write."""

    __slots__ = ("_verbs",)

    def __init__(self, verbs: RunVerbs) -> None:
        self._verbs = verbs

    async def now_ms(self) -> int:
        """Milliseconds since the epoch by this machine's clock."""
        return await self._value("now", _CLOCK.now_ms)

    async def random(self) -> float:
        """A number from 0 to 1."""
        return await self._value("random", random.random)

    async def uuid(self) -> str:
        """A random UUID."""
        return await self._value("uuid", lambda: str(uuid.uuid4()))

    async def _value(self, name: str, make: Callable[[], Any]) -> Any:
        async def execute(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            return fast_build(RuntimeEffectOutcome, {"kind": envelope.kind, "value": make()})

        effect_id = f"{name}:{self._verbs.count(name)}"
        outcome = await self._verbs.effect(effect_id, EffectKind.DURABLE_STEP, {"step_id": effect_id}, execute)
        return outcome.value
