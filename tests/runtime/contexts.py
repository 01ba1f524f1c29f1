"""Execution contexts over the inline host, for tests without a server."""

from __future__ import annotations

from typing import Any

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.process.registry_service import RegistryProcessService
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.tool_dispatch import ToolDispatchContext
from lash_core.runtime.tool_registry import ToolRegistry
from lash_core.store.effect_host import EffectHost


def context_of(
    stores: InMemoryStores | None = None,
    *,
    session_id: str = "s",
    host: EffectHost | None = None,
    tools: ToolRegistry | None = None,
    processes: bool = True,
    **facts: Any,
) -> RuntimeExecutionContext:
    """A context of a turn of ``session_id``; ``facts`` are the constructor's."""
    stores = stores or InMemoryStores()
    effects = (host or InlineEffectHost()).scoped(ExecutionScope.turn(session_id, "turn-1"))
    starts = ProcessStarts(session_id, env_store=stores.env_store)
    dispatch = ToolDispatchContext.of_tools(
        effects,
        tools or ToolRegistry(),
        processes=RegistryProcessService(stores.process_registry, starts) if processes else None,
    )
    return RuntimeExecutionContext(session_id, dispatch, stores.env_store, stores.attachments, **facts)
