"""Processes that tools start by kind: once for a call, for the session (docs/contracts/tools.md 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lash_core.client_enqueue import KindResolver
from lash_core.errors import (
    InvalidArgumentError,
    NotAvailableError,
    RuntimeFailure,
    StoreFullError,
    UnknownKindError,
)
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest
from lash_core.model.process_input import EngineInput
from lash_core.model.scope import SessionScope
from lash_core.model.tool_output import ToolFailure
from lash_core.runtime import tools as tools_module
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.tool_children import start_kind
from lash_core.runtime.tool_turn import ToolTurn
from lash_core.runtime.tools import ToolContext
from lash_worker.app_tools import AppTool
from lash_worker.thread_pool import ThreadPool
from tests.runtime.contexts import context_of

SCHEMA = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}


class Shop:
    """An app with one kind."""

    def manifests(self) -> Mapping[str, KindManifest]:
        kind = KindManifest(
            kind="deliver", disposition=RecoveryDisposition.RERUNNABLE, queue="slow", params_schema=SCHEMA, app="shop"
        )
        return {"deliver": kind}


class InTurn(RuntimeExecutionContext):
    """A context that knows kinds, as that of a turn does."""

    kinds: KindResolver | None = KindResolver(None, Shop())


def in_turn(stores: InMemoryStores) -> RuntimeExecutionContext:
    context = context_of(stores)
    context.__class__ = InTurn
    return context


async def no_report(value: Any) -> None:
    """Nobody watches."""


def tool_context(stores: InMemoryStores, call_id: str = "c1") -> ToolContext:
    return ToolContext("s", call_id, turn=ToolTurn("t1", "order", in_turn(stores), None, no_report))


async def test_a_process_is_started_as_its_kind_says_for_the_session() -> None:
    stores = InMemoryStores()
    started = await tool_context(stores).start_process("deliver", {"item": "mug"}, label="a mug")
    record = await stores.process_registry.get_process(started)

    assert record is not None
    assert EngineInput("deliver", {"item": "mug"}) == record.input
    assert ("slow", "a mug") == (record.queue, record.identity.label)
    assert SessionScope("s") == record.wake_target
    assert record.env_ref is not None


async def test_one_call_starts_it_once() -> None:
    stores = InMemoryStores()
    first = await tool_context(stores).start_process("deliver", {"item": "mug"})

    assert first == await tool_context(stores).start_process("deliver", {"item": "mug"})
    assert first != await tool_context(stores, "c2").start_process("deliver", {"item": "mug"})
    assert "mine" == await tool_context(stores).start_process("deliver", {"item": "mug"}, process_id="mine")
    with pytest.raises(RuntimeFailure, match="conflict"):
        await tool_context(stores).start_process("deliver", {"item": "lamp"})


async def test_what_nobody_declares_is_refused() -> None:
    context = tool_context(InMemoryStores())

    with pytest.raises(UnknownKindError):
        await context.start_process("fly")
    with pytest.raises(InvalidArgumentError):
        await context.start_process("deliver", {"thing": 1})
    with pytest.raises(InvalidArgumentError):
        await context.start_process("deliver", {"item": "mug"}, process_id="a#b")


async def test_a_tool_in_a_process_starts_none() -> None:
    with pytest.raises(NotAvailableError):
        await ToolContext("s", "c1").start_process("deliver")
    with pytest.raises(NotAvailableError, match="no kinds"):
        await start_kind(context_of(), "t1:c1", "deliver", None)


async def test_a_start_that_the_store_refuses_leaves_a_tool_of_an_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no answer of the tool: the turn is redone. A store error of the tool's own is one."""

    async def order(ctx: ToolContext, item: str) -> str:
        if item == "own":
            raise StoreFullError("the tool's own")
        return await ctx.start_process("deliver", {"item": item})

    async def is_full(*_: Any, **__: Any) -> str:
        raise StoreFullError("out of memory")

    monkeypatch.setattr(tools_module, "start_kind", is_full)
    tool = AppTool("order", order, "Order.", {}).to_tool(ThreadPool(1, "t"))
    with pytest.raises(StoreFullError):
        await tool.call(tool_context(InMemoryStores()), {"item": "mug"})
    answer = await tool.call(tool_context(InMemoryStores()), {"item": "own"})
    assert isinstance(answer, ToolFailure)
