"""The execution context of an engine's run: the run's runtime, effects, lease and waits in one (contract 3.10, 4.1)."""

from __future__ import annotations

from lash_core.client_trigger_starts import TriggerStarts
from lash_core.errors import MissingEnvironmentError
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.runtime.execution_context import RuntimeExecutionContext
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.process.registry_service import RegistryProcessService
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.tool_dispatch import ToolDispatchContext
from lash_core.runtime.trigger_router import TriggerRouter
from lash_core.store.trigger_store import TriggerStore


async def execution_context_of_run(run: EngineRun) -> RuntimeExecutionContext:
    """Build the run's runtime, once, and the context of its code. A rebuilt context has no live extension.

    Raises:
        RuntimeAlreadyBuiltError: the runtime was asked for before.
        MissingEnvironmentError: the captured environment is gone, or the host has no environment store.
        PluginSessionError: the session cannot be opened or rebuilt.
    """
    runtime = await run.runtime_builder.build()
    facts, durability = run.context, runtime.host.core.durability
    if durability.process_env_store is None:
        raise MissingEnvironmentError("this host has no environment store to capture environments in")
    registration = run.registration
    if facts.wake_target_scope is not None:
        registration = registration.with_wake_target(facts.wake_target_scope)
    context = RuntimeExecutionContext(
        runtime.session_id,
        ToolDispatchContext.of_tools(
            run.effects, runtime.tools, processes=_processes(run, runtime), trigger_router=_triggers(run, runtime)
        ),
        durability.process_env_store,
        durability.attachment_store if run.open_attachments is None else run.open_attachments(),
        run.history,
        execution_env_spec=ProcessExecutionEnvSpec(policy=runtime.policy.to_json_value()),
        process_registration=registration,
        cancellation_token=run.cancellation,
    )
    return context.with_process_event_context(
        run.process_id,
        run.registry,
        runtime.store,
        runtime.session_store_factory,
        run_lease=facts.run_lease,
        waits=facts.waits,
    )


def _processes(run: EngineRun, runtime: LashRuntime) -> RegistryProcessService:
    starts = ProcessStarts(
        runtime.session_id,
        env_store=runtime.host.core.durability.process_env_store,
        engines=runtime.process_engines,
        session_store_factory=runtime.session_store_factory,
        host_profile_id=runtime.host.core.profile.host_profile_id,
    )
    return RegistryProcessService(run.registry, starts, waits=run.context.waits)


def _triggers(run: EngineRun, runtime: LashRuntime) -> TriggerRouter | None:
    """The host's triggers; None where it has none, or knows no kinds to start."""
    store = runtime.host.core.durability.trigger_store
    if run.find_kinds is None or not isinstance(store, TriggerStore):
        return None
    return TriggerRouter(store, run.registry, TriggerStarts(run.find_kinds()))
