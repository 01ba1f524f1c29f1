"""An engine with an execution context in a real worker: its waits free the slot and survive leaving memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.tool_output import ToolSuccess, from_tool_output
from lash_core.redis_store.stores import RedisStores
from lash_core.runtime.engine_context import execution_context_of_run
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.process.engine import EngineRun, ProcessEngine
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.testing import running_apps
from tests.context.scenes import Stores, unique

DEPTH = 6


def registration(process_id: str, depth: int) -> ProcessRegistration:
    """A chain from this depth on."""
    return ProcessRegistration(
        process_id,
        ProcessInput.engine("chain", {"depth": depth}),
        RecoveryDisposition.RERUNNABLE,
        env_ref=EMPTY_ENV_REF,
        event_types=(ProcessEventType.signal("go"), ProcessEventType(name="note")),
    )


class Chain:
    """Starts the next link and waits for it; the last one sleeps, notes and waits for a signal."""

    kind = "chain"

    def __init__(self) -> None:
        self.runs = Counter[int]()

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """One attempt at a link."""
        payload: Any = run.payload
        depth = int(payload["depth"])
        self.runs[depth] += 1
        context = await execution_context_of_run(run)
        if depth == DEPTH:
            return await self._last(context, run)
        child = await context.start_child_process(registration(f"{run.process_id}.{depth + 1}", depth + 1), "chain")
        assert isinstance(child.output, ToolSuccess), child.output
        reply = await context.await_process(f"await-{depth}", child.output.value)
        if isinstance(reply.output, ToolSuccess):
            return ProcessAwaitOutput.success([depth, *reply.output.value])
        return from_tool_output(reply.output)

    async def _last(self, context: RuntimeExecutionContext, run: EngineRun) -> AnyAwaitOutput:
        process_id = run.process_id
        await context.sleep_process(f"process:{process_id}", 1, 20)
        note = ProcessEventAppendRequest("note", {"slept": True}).with_replay_key("slept")
        event = await context.append_process_event(run.registry, process_id, note)
        got = await context.await_process_signal_event(process_id, "go", 1)
        return ProcessAwaitOutput.success([DEPTH, event.sequence, got])


class EngineApp(App):
    """An app that brings an engine of its own."""

    def __init__(self, engine: ProcessEngine) -> None:
        super().__init__("engines")
        self._engine = engine

    def engines(self, *args: Any, **options: Any) -> Sequence[ProcessEngine]:  # type: ignore[override]
        """It."""
        return (*super().engines(*args, **options), self._engine)


@pytest.mark.parametrize("park_after_ms", [5_000, 0], ids=["resident", "parked"])
@pytest.mark.parametrize("kind", ["memory", "valkey"])
async def test_a_chain_of_engines_ends_on_one_slot(kind: str, park_after_ms: int) -> None:
    """Whatever its depth: who waits has no slot, and goes on in the same or another attempt."""
    if kind == "memory":
        async with InMemoryStores() as stores:
            await _chain(stores, park_after_ms)
        return
    with ValkeyServer() as server:
        settings = StoreSettings(partitions=4, failover_grace_ms=0)
        async with RedisStores.connect(server.url, "lash", settings) as stores:
            await _chain(stores, park_after_ms)


async def _chain(stores: Stores, park_after_ms: int) -> None:
    engine, process_id = Chain(), unique("chain")
    last = process_id + "".join(f".{depth}" for depth in range(1, DEPTH + 1))
    await stores.process_registry.register_process(registration(process_id, 0))
    async with running_apps((EngineApp(engine),), stores, concurrency=1, park_after_ms=park_after_ms):
        client = LashClient(stores)

        async def noted() -> bool:
            record = await stores.process_registry.get_process(last)
            return record is not None and record.last_sequence > 0

        await eventually(noted, within_ms=15_000)
        await client.handle(last).signal("go", {"by": "ops"})
        value = await client.handle(process_id).result(timeout=15)

    assert [*range(DEPTH + 1), 1, {"by": "ops"}] == value
    events = await stores.process_registry.events_after(last, 0)
    assert ["note", "signal.go", "process.completed"] == [event.event_type for event in events]
    if park_after_ms:
        assert dict.fromkeys(range(DEPTH + 1), 1) == dict(engine.runs)
    else:
        assert all(engine.runs[depth] > 1 for depth in range(DEPTH + 1))
