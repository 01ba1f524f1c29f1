"""Process commands on their way: none is left half done when its caller is cancelled (contract 5.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome


def is_process_wait(envelope: RuntimeEffectEnvelope) -> bool:
    """True for the process command that changes nothing: it only waits for an end."""
    return envelope.kind is EffectKind.PROCESS and envelope.command.args.get("op") == "await"


def is_process_command(envelope: RuntimeEffectEnvelope) -> bool:
    """True for a process command that changes something once it is sent."""
    return envelope.kind is EffectKind.PROCESS and not is_process_wait(envelope)


class SentCommands:
    """The commands of one controller that are under way."""

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        # The loop itself keeps no task alive.
        self._under_way: set[asyncio.Future[RuntimeEffectOutcome]] = set()

    async def finish(self, command: Coroutine[Any, Any, RuntimeEffectOutcome]) -> RuntimeEffectOutcome:
        """Run a command to its end, also when the caller is cancelled meanwhile. Raises: whatever it raises."""
        task = asyncio.ensure_future(command)
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Future[RuntimeEffectOutcome]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Its caller may be gone.
            task.exception()
