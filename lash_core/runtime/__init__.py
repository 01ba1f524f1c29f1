"""Sessions and processes at work. Names are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.model.execution_scope import EffectScope, ExecutionScope
    from lash_core.model.scope import ProcessScope, SessionScope
    from lash_core.runtime.cancellation import CancellationToken
    from lash_core.runtime.host_config import RuntimeHostConfig
    from lash_core.runtime.inline_effects import InlineEffectController, InlineEffectHost, ScopedEffectController
    from lash_core.runtime.lash_runtime import LashRuntime, ParkedSession, RuntimeEnvironment, RuntimeSessionState
    from lash_core.runtime.plugins import (
        PluginFactory,
        PluginHost,
        PluginLifecycleEvent,
        PluginSession,
        PluginStack,
        SessionPlugin,
    )
    from lash_core.runtime.process_context import ProcessContext
    from lash_core.runtime.process_engine import EngineRun, ProcessEngine, ProcessEngineRegistry
    from lash_core.runtime.process_execution_context import ProcessExecutionContext
    from lash_core.runtime.process_runner import ProcessRunner
    from lash_core.runtime.residency import Residency
    from lash_core.runtime.run_lease import RunLease
    from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
    from lash_core.runtime.runtime_errors import DurableStoreFacet
    from lash_core.runtime.tool_registry import ToolRegistry
    from lash_core.runtime.tools import Tool, ToolContext
    from lash_core.store.effect_host import EffectHost, RuntimeEffectController

__all__ = [
    "CancellationToken",
    "DurableStoreFacet",
    "EffectHost",
    "EffectScope",
    "EmbeddedRuntimeBuilder",
    "EngineRun",
    "ExecutionScope",
    "InlineEffectController",
    "InlineEffectHost",
    "LashRuntime",
    "ParkedSession",
    "PluginFactory",
    "PluginHost",
    "PluginLifecycleEvent",
    "PluginSession",
    "PluginStack",
    "ProcessContext",
    "ProcessEngine",
    "ProcessEngineRegistry",
    "ProcessExecutionContext",
    "ProcessRunner",
    "ProcessScope",
    "Residency",
    "RunLease",
    "RuntimeEffectController",
    "RuntimeEnvironment",
    "RuntimeHostConfig",
    "RuntimeSessionState",
    "ScopedEffectController",
    "SessionPlugin",
    "SessionScope",
    "Tool",
    "ToolContext",
    "ToolRegistry",
]

_HOMES = {
    "lash_core.model.execution_scope": ("EffectScope", "ExecutionScope"),
    "lash_core.model.scope": ("ProcessScope", "SessionScope"),
    "lash_core.runtime.cancellation": ("CancellationToken",),
    "lash_core.runtime.host_config": ("RuntimeHostConfig",),
    "lash_core.runtime.inline_effects": ("InlineEffectController", "InlineEffectHost", "ScopedEffectController"),
    "lash_core.runtime.lash_runtime": ("LashRuntime", "ParkedSession", "RuntimeEnvironment", "RuntimeSessionState"),
    "lash_core.runtime.plugins": (
        "PluginFactory",
        "PluginHost",
        "PluginLifecycleEvent",
        "PluginSession",
        "PluginStack",
        "SessionPlugin",
    ),
    "lash_core.runtime.process_context": ("ProcessContext",),
    "lash_core.runtime.process_engine": ("EngineRun", "ProcessEngine", "ProcessEngineRegistry"),
    "lash_core.runtime.process_execution_context": ("ProcessExecutionContext",),
    "lash_core.runtime.process_runner": ("ProcessRunner",),
    "lash_core.runtime.residency": ("Residency",),
    "lash_core.runtime.run_lease": ("RunLease",),
    "lash_core.runtime.runtime_builder": ("EmbeddedRuntimeBuilder",),
    "lash_core.runtime.runtime_errors": ("DurableStoreFacet",),
    "lash_core.runtime.tool_registry": ("ToolRegistry",),
    "lash_core.runtime.tools": ("Tool", "ToolContext"),
    "lash_core.store.effect_host": ("EffectHost", "RuntimeEffectController"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
