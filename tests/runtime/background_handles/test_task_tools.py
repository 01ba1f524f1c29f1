"""Tasks that tools start beside a turn, and the tools by which models await, cancel and list them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from typing_extensions import override

from lash_core.errors import NotAvailableError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.async_handle import async_handle_value
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskKind,
    BackgroundTaskRegistration,
    BackgroundTaskState,
)
from lash_core.model.monitor import MonitorSpec
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.tool_output import AnyToolOutput, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.background.async_handle import AsyncHandleState
from lash_core.runtime.background.local_host import LocalBackgroundTaskHost
from lash_core.runtime.background.task_tools import AWAIT_TIMEOUT_MS_MAX, BackgroundTaskToolsFactory
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.session.child_starts import CreateSessionRequest
from lash_core.runtime.tool_tasks import AsyncTask
from lash_core.runtime.tools import Tool, ToolContext
from lash_core.testing.conformance.session_scene import factory_of
from lash_core.testing.conformance.turns.arrange import Scene, words
from lash_core.testing.scripted_provider import ScriptedProvider, calls_tools, says
from lash_core.testing.waiting import eventually

Starts = Callable[[ToolContext, Any], Awaitable[AnyToolOutput]]


class Offers(PluginFactory):
    plugin_id = "offers"

    def __init__(self, starts: Starts) -> None:
        self._starts = starts

    def build(self, session_id: str) -> SessionPlugin:
        plugin = SessionPlugin()
        plugin.tools = lambda: (Tool(ToolManifest("search", "search"), self._starts),)
        return plugin


@dataclass
class TaskScene(Scene):
    """A session with a tool ``search`` that starts a task, and the tools of tasks."""

    starts: Starts | None = None
    host: LocalBackgroundTaskHost | None = field(default_factory=LocalBackgroundTaskHost)
    monitors: tuple[MonitorSpec, ...] = ()

    @property
    @override
    def environment(self) -> RuntimeEnvironment:
        config = RuntimeHostConfig.from_stores(self.stores)
        config.background_task_host = self.host
        config.monitors = self.monitors
        config.providers.add(self.provider)
        assert self.starts is not None
        plugins = PluginHost([BackgroundTaskToolsFactory(), Offers(self.starts)])
        return RuntimeEnvironment(config, plugins, session_store_factory=factory_of(self.stores))


def scene(starts: Starts, *replies: Any, **facts: Any) -> TaskScene:
    policy = SessionPolicy(model=ModelSpec("model-1"), provider_id="scripted")
    return TaskScene(InMemoryStores(), "s", ScriptedProvider([*replies]), policy=policy, starts=starts, **facts)


def outputs(turn: AssembledTurn) -> list[dict[str, Any]]:
    return [dict(call.output) for call in turn.tool_calls]


async def answers(context: ToolContext, args: Any) -> AnyToolOutput:
    async def work(task: AsyncTask) -> Any:
        task.progress({"at": 1})
        return {"found": args["query"]}

    return ToolSuccess(await context.start_task(work))


async def waits(context: ToolContext, args: Any) -> AnyToolOutput:
    async def work(task: AsyncTask) -> Any:
        await task.cancellation.wait()

    return ToolSuccess(await context.start_task(work))


async def handle_of(runtime: LashRuntime) -> dict[str, Any]:
    (handle,) = runtime.async_handles.handles()
    return handle.value


async def first_turn(played: TaskScene, turn_input: str = "go") -> LashRuntime:
    runtime = await played.runtime()
    await runtime.stream_turn(words(turn_input))
    return runtime


async def test_a_tool_answers_with_a_handle_and_a_later_turn_awaits_it() -> None:
    played = scene(answers, calls_tools(("search", {"query": "x"})), says("Started."))
    runtime = await played.runtime()
    turn = await runtime.stream_turn(words("go"))
    (handle,) = runtime.async_handles.handles()
    assert {"__handle__": "task", "id": handle.id, "tool": "search"} == outputs(turn)[0]["value"]
    await eventually(lambda: not handle.is_live)
    played.provider.extend(calls_tools(("await_task", {"handle": handle.value})), says("Done."))
    live: list[Any] = []

    async def take(activity: Any) -> None:
        live.append(activity)

    turn = await runtime.stream_turn(words("and?"), sender=take)
    assert [{"type": "success", "value": {"found": "x"}}] == outputs(turn)
    told = [one.event.facts["progress"] for one in live if one.event.facts.get("event") == "tool_progress"]
    assert [{"at": 1}] == told
    runtime.close()


async def test_the_same_call_starts_its_task_once() -> None:
    tries: list[dict[str, Any]] = []

    async def twice(context: ToolContext, args: Any) -> AnyToolOutput:
        async def work(task: AsyncTask) -> Any:
            await task.cancellation.wait()

        tries.extend([await context.start_task(work), await context.start_task(work)])
        tries.append(await context.start_task(work, name="another"))
        return ToolSuccess(tries[0])

    runtime = await first_turn(scene(twice, calls_tools(("search", {})), says("Started.")))
    assert (tries[0], 2) == (tries[1], len(runtime.async_handles))
    assert tries[2]["id"] != tries[0]["id"]
    runtime.close()


@pytest.mark.parametrize(
    ("handle", "code", "text"),
    [
        ({"id": "x"}, "tool_args_invalid", "Invalid async handle: missing `__handle__`"),
        ({"__handle__": "file", "id": "x"}, "tool_args_invalid", "Invalid async handle kind: file"),
        ({"__handle__": "task"}, "tool_args_invalid", "Invalid async handle: missing `id`"),
        ({"__handle__": "task", "id": "x"}, "async_handle_unknown", "Unknown async handle: x"),
        ("x", "tool_args_invalid", "Invalid async handle: missing `__handle__`"),
    ],
)
@pytest.mark.parametrize("tool", ["await_task", "cancel_task"])
async def test_what_is_no_handle_of_the_session_is_the_models_to_correct(
    tool: str, handle: Any, code: str, text: str
) -> None:
    runtime = await scene(answers, calls_tools((tool, {"handle": handle})), says("Sorry.")).runtime()
    (output,) = outputs(await runtime.stream_turn(words("go")))
    assert ("failure", "invalid_request", code, text) == tuple(
        output[key] for key in ("type", "class", "code", "message")
    )
    runtime.close()


async def test_a_wait_ends_with_its_time_and_the_task_goes_on() -> None:
    played = scene(waits, calls_tools(("search", {})), says("Started."))
    runtime = await first_turn(played)
    handle = await handle_of(runtime)
    played.provider.extend(
        calls_tools(
            ("await_task", {"handle": handle, "timeout_ms": 1}),
            ("await_task", {"handle": handle, "timeout_ms": AWAIT_TIMEOUT_MS_MAX + 1}),
            ("await_task", {"handle": handle, "timeout_ms": "1"}),
        ),
        says("Later."),
    )
    first, *others = outputs(await runtime.stream_turn(words("wait")))
    assert {"handle": handle, "id": handle["id"], "state": "running"} == first["value"]
    assert ["tool_args_invalid"] * 2 == [output["code"] for output in others]
    assert runtime.async_handles.get(handle["id"]).is_live
    runtime.close()


async def test_a_cancelled_turn_stops_waiting_and_not_the_task() -> None:
    played = scene(waits, calls_tools(("search", {})), says("Started."))
    runtime = await first_turn(played)
    handle, token = await handle_of(runtime), CancellationToken()
    played.provider.extend(calls_tools(("await_task", {"handle": handle})))
    turn = asyncio.ensure_future(runtime.stream_turn(words("wait"), cancellation=token))
    await eventually(lambda: 3 == len(played.provider.requests))
    token.cancel("enough")
    assert "cancelled" == getattr((await turn).outcome, "reason", None)
    assert runtime.async_handles.get(handle["id"]).is_live
    runtime.close()


async def test_a_model_cancels_and_lists_tasks() -> None:
    played = scene(
        waits,
        calls_tools(("search", {})),
        says("Started."),
        monitors=(MonitorSpec("m", "sleep 600"), MonitorSpec("n", "true")),
    )
    runtime = await first_turn(played)
    handle = await handle_of(runtime)
    registration = BackgroundTaskRegistration("far", BackgroundTaskKind.SUBAGENT, "test")
    await runtime.background_tasks.register_background_task("s", registration)
    await runtime.monitors.start("m")
    far, monitor = async_handle_value("far", "subagent"), async_handle_value("monitor:m", "monitor")
    calls = [("cancel_task", {"handle": one}) for one in (handle, far, monitor, handle)]
    played.provider.extend(
        calls_tools(("list_tasks", {})), calls_tools(*calls), calls_tools(("list_tasks", {})), says("Ok.")
    )
    before, *cancelled, after = outputs(await runtime.stream_turn(words("stop them")))

    def states(output: dict[str, Any]) -> dict[str, str]:
        return {task["id"]: task["state"] for task in output["value"]}

    names = {handle["id"]: "cancelled", "far": "cancelled", "monitor:m": "cancelled", "monitor:n": "idle"}
    assert {**dict.fromkeys(names, "running"), "monitor:n": "idle"} == states(before)
    assert ["cancelled"] * 4 == [output["value"]["state"] for output in cancelled]
    assert names == states(after)
    assert handle == next(task["handle"] for task in before["value"] if task["id"] == handle["id"])
    assert AsyncHandleState.CANCELLED is runtime.async_handles.get(handle["id"]).state
    runtime.close()


async def test_a_task_that_the_host_keeps_is_awaited_by_its_id() -> None:
    played = scene(answers)
    runtime = await played.runtime()
    tasks = runtime.background_tasks
    for task_id in ("good", "bad", "gone"):
        await tasks.register_background_task("s", BackgroundTaskRegistration(task_id, BackgroundTaskKind.OTHER, "test"))
    await tasks.complete_background_task("s", "good", BackgroundTaskCompletion(BackgroundTaskState.COMPLETED, "fine"))
    await tasks.complete_background_task("s", "bad", BackgroundTaskCompletion(BackgroundTaskState.FAILED, "not fine"))
    await tasks.complete_background_task("s", "gone", BackgroundTaskState.CANCELLED)
    calls = [("await_task", {"handle": async_handle_value(task_id, "t")}) for task_id in ("good", "bad", "gone")]
    played.provider.extend(calls_tools(*calls), says("Ok."))
    good, bad, gone = outputs(await runtime.stream_turn(words("go")))
    assert {"id": "good", "kind": "other", "state": "completed", "summary": "fine"} == good["value"]
    assert ("background_task_failed", "not fine") == (bad["code"], bad["message"])
    assert ("cancelled", "async task was cancelled") == (gone["type"], gone["message"])
    await tasks.register_background_task("s", BackgroundTaskRegistration("long", BackgroundTaskKind.OTHER, "test"))
    played.provider.extend(
        calls_tools(("await_task", {"handle": async_handle_value("long", "t"), "timeout_ms": 1})), says("Ok.")
    )
    (running,) = outputs(await runtime.stream_turn(words("go")))
    assert "running" == running["value"]["state"]
    runtime.close()


async def test_a_runtime_that_is_closed_ends_its_tasks() -> None:
    runtime = await first_turn(scene(waits, calls_tools(("search", {})), says("Started.")))
    (handle,) = runtime.async_handles.handles()
    runtime.close()
    assert (AsyncHandleState.CANCELLED, True) == (handle.state, handle.cancelled)


async def test_tasks_go_with_their_session_when_another_one_is_activated() -> None:
    runtime = await first_turn(scene(waits, calls_tools(("search", {})), says("Started.")))
    ours = runtime.async_handles
    child = await runtime.create_session(CreateSessionRequest(session_id="child"))
    theirs = child.runtime.async_handles
    runtime.activate_managed_session("child")
    assert runtime.async_handles is theirs
    assert runtime.managed_sessions.get("s").runtime.async_handles is ours
    runtime.close()


async def test_a_tool_of_a_process_starts_no_tasks() -> None:
    with pytest.raises(NotAvailableError, match="async tasks are available to tools of a turn only"):
        await ToolContext("s", "c").start_task(lambda task: asyncio.sleep(0))
