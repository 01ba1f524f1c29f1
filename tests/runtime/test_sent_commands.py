"""Process commands that were sent are carried out, whoever still waits for them (contract 5.4)."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from lash_core.model.effect import EffectKind, RuntimeEffectOutcome
from lash_core.runtime.sent_commands import SentCommands, is_process_command, is_process_wait
from lash_core.testing.waiting import eventually
from tests.runtime.effect_kit import envelope


def test_only_process_effects_that_do_not_wait_are_commands() -> None:
    """A step is neither; a wait may be left."""
    cancel, wait = (envelope(EffectKind.PROCESS, op=op) for op in ("cancel", "await"))
    other = envelope(EffectKind.DURABLE_STEP, op="await", step_id="s")

    assert [True, False, False] == [is_process_command(effect) for effect in (cancel, wait, other)]
    assert [False, True, False] == [is_process_wait(effect) for effect in (cancel, wait, other)]


@pytest.mark.parametrize("error", [None, RuntimeError("too late")])
async def test_a_command_outlives_its_caller_and_fails_silently(error: Exception | None) -> None:
    """Nobody is left to be told; the loop does not complain of an error that nobody saw."""
    gate, ended, complaints = asyncio.Event(), list[str](), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: complaints.append(facts))
    commands = SentCommands()

    async def command() -> RuntimeEffectOutcome:
        await gate.wait()
        ended.append("done")
        if error is not None:
            raise error
        return RuntimeEffectOutcome(EffectKind.PROCESS)

    caller = asyncio.create_task(commands.finish(command()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gc.collect()
    gate.set()
    await eventually(lambda: bool(ended))
    await asyncio.sleep(0)
    gc.collect()

    assert (["done"], []) == (ended, complaints)
