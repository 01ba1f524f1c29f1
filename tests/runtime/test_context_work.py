"""What a context does beside waiting is work: a run whose other branch waits is not parked in the middle of it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.base import JsonValue
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_handle import process_handle_json
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.store.process_registry import ProcessRegistry
from tests.runtime.contexts import context_of

HANDLE = process_handle_json("p")
JOB = ProcessHandleDescriptor("job")


def registration(process_id: str, env_ref: str | None = EMPTY_ENV_REF) -> ProcessRegistration:
    """A process with a signal and a note."""
    return ProcessRegistration(
        process_id,
        ProcessInput.engine("job"),
        RecoveryDisposition.RERUNNABLE,
        env_ref=env_ref,
        event_types=(ProcessEventType.signal("go"), ProcessEventType(name="note")),
    )


class CountedWork:
    """``RunWaits`` that counts how deep the run is at work, or refuses it."""

    def __init__(self, *, closed: bool = False) -> None:
        self.depth = 0
        self._closed = closed

    @contextmanager
    def working(self) -> Generator[None]:
        """Count."""
        if self._closed:
            raise asyncio.CancelledError
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


class Watched:
    """A store that notes whether the run was at work at each call."""

    def __init__(self, store: Any, waits: CountedWork) -> None:
        self._store = store
        self._waits = waits
        self.idle_calls: list[str] = []
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if not self._waits.depth:
                self.idle_calls.append(name)
            return await method(*args, **named)

        return call


Operation = Callable[[RuntimeExecutionContext, ProcessRegistry], Awaitable[Any]]

OPERATIONS: dict[str, Operation] = {
    "start_child_process": lambda context, _: context.start_child_process(registration("c", None), "job"),
    "start_tool_process": lambda context, _: context.start_tool_process("call", "search", 1),
    "captured_process_execution_env_ref": lambda context, _: context.captured_process_execution_env_ref(),
    "cancel_process": lambda context, _: context.cancel_process("call", HANDLE),
    "signal_process": lambda context, _: context.signal_process("call", HANDLE, "go"),
    "signal_process_by_id": lambda context, registry: context.signal_process_by_id(registry, "p", "go", "s"),
    "append_process_event": lambda context, registry: context.append_process_event(
        registry, "p", ProcessEventAppendRequest("note")
    ),
    "list_process_handles": lambda context, _: context.list_process_handles(),
    "grant_process_handle": lambda context, _: context.grant_process_handle("p", JOB),
    "revoke_process_handle": lambda context, _: context.revoke_process_handle("p"),
    "transfer_process_handles": lambda context, _: context.transfer_process_handles(SessionScope("o"), ["p"]),
}


async def answer(_: ToolContext, args: JsonValue) -> AnyToolOutput:
    """What the tool does."""
    return ToolSuccess(args)


async def context_with(waits: CountedWork) -> tuple[RuntimeExecutionContext, Watched, Watched]:
    """A context of a session whose run has these waits, its registry and environments watched."""
    stores: Any = InMemoryStores()
    await stores.process_registry.register_process(registration("p"), grant_to=SessionScope("s"), descriptor=JOB)
    stores.process_registry = registry = Watched(stores.process_registry, waits)
    stores.env_store = environments = Watched(stores.env_store, waits)
    tools = ToolRegistry([Tool(ToolManifest("tool:search", "search"), answer)])
    context = context_of(stores, tools=tools)
    return context.with_process_event_context("p", stores.process_registry, waits=waits), registry, environments  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_is_work(name: str) -> None:
    """Every store call of it; and the run is at rest again afterwards."""
    waits = CountedWork()
    context, registry, environments = await context_with(waits)

    reply = await OPERATIONS[name](context, registry)  # type: ignore[arg-type]

    assert getattr(reply, "is_success", True), reply
    assert registry.calls + environments.calls > 0
    assert ([], [], 0) == (registry.idle_calls, environments.idle_calls, waits.depth)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_run_that_ends_here_begins_nothing(name: str) -> None:
    """It leaves memory or is over: not one store call."""
    context, registry, environments = await context_with(CountedWork(closed=True))

    with pytest.raises(asyncio.CancelledError):
        await OPERATIONS[name](context, registry)  # type: ignore[arg-type]

    assert 0 == registry.calls + environments.calls


def test_every_operation_is_listed() -> None:
    """What is added to the context and is no wait belongs above."""
    coroutines = {
        name
        for name in dir(RuntimeExecutionContext)
        if not name.startswith("_") and inspect.iscoroutinefunction(getattr(RuntimeExecutionContext, name))
    }

    waits = {"sleep_process", "await_process_signal_event", "await_process"}
    inside_others = {"attach_captured_process_execution_env", "emit_turn_activity"}
    assert coroutines == set(OPERATIONS) | waits | inside_others
