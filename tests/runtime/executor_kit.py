"""Commands, promises and rows that tests of executors have in common."""

from __future__ import annotations

import asyncio
from typing import Any

from lash_core.model.await_event import AwaitEventKey, WaitIdentity
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect import (
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import Replay
from lash_core.model.event_type import ProcessEventType
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.runtime.inline_await_events import InlineAwaitEvents


def envelope(command: RuntimeEffectCommand) -> RuntimeEffectEnvelope:
    """An effect with this command."""
    invocation = RuntimeInvocation(
        scope=RuntimeScope("s"), subject=EffectSubject("e", command.kind), replay=Replay("k")
    )
    return RuntimeEffectEnvelope.create(invocation, command)


def signal_key(events: InlineAwaitEvents, ordinal: int = 1) -> AwaitEventKey:
    """The promise of a wait for a ``stop``."""
    return events.mint(ExecutionScope.process("p"), WaitIdentity.process_signal("p", "stop", ordinal))


def registration(process_id: str = "p") -> ProcessRegistration:
    """A process that takes a signal."""
    return ProcessRegistration(
        process_id,
        ProcessInput.engine("job"),
        RecoveryDisposition.RERUNNABLE,
        env_ref=EMPTY_ENV_REF,
        event_types=(ProcessEventType.signal("stop"),),
    )


async def soon(waiting: Any) -> Any:
    """What a task gives, within a time that only a fault takes."""
    async with asyncio.timeout(5):
        return await waiting
