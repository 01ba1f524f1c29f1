"""Monitors of a session: what they run, what it hears, how they end (``docs/contracts/background_tasks.md`` 6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import InvalidArgumentError, PluginSessionError, SettingsError
from lash_core.errors.async_handle import UnknownMonitorError
from lash_core.model.async_handle import async_handle_value
from lash_core.model.background_task import (
    BackgroundTaskKind,
    BackgroundTaskRegistration,
    BackgroundTaskState,
    TaskProgress,
)
from lash_core.model.monitor import (
    MonitorArm,
    MonitorRunState,
    MonitorSpec,
    MonitorWakePolicy,
    monitor_id_of,
)
from lash_core.model.tool_output import ToolCancelled, ToolFailure, ToolSuccess
from lash_core.runtime.background import handle_await, monitor_run
from lash_core.runtime.background.handle_await import await_async_handle
from lash_core.runtime.background.monitor_run import MonitorBatch, MonitorRun
from lash_core.testing.waiting import eventually
from tests.runtime.background_handles.monitor_kit import SLEEPS, Events, Watched, alive, closed, ended, record_of


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_run, "BATCH_WINDOW_SECONDS", 0.001)
    monkeypatch.setattr(monitor_run, "BATCH_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(monitor_run, "DELIVERY_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(handle_await, "MONITOR_POLL_MS", 1)


def spec(command: Any = SLEEPS, monitor_id: str = "m", **facts: Any) -> MonitorSpec:
    return MonitorSpec(monitor_id, command, **facts)


# -- specs ------------------------------------------------------------------------------------------------------


def test_a_spec_says_little_and_has_limits() -> None:
    one = spec("echo hi")
    assert (False, 300_000, MonitorArm.MANUAL, MonitorWakePolicy.QUEUE_TURN, False, None, {}) == (
        one.persistent,
        one.timeout_ms,
        one.arm_on,
        one.wake_policy,
        one.restart_on_restore,
        one.cwd,
        one.env,
    )
    assert ("monitor:m", "m", "m") == (one.task_id, monitor_id_of("monitor:m"), monitor_id_of("m"))
    assert ("/bin/sh", "-c", "echo hi") == one.arguments
    assert ("ls", "-l") == spec(("ls", "-l")).arguments
    assert 3_600_000 == spec(timeout_ms=3_600_000).timeout_ms


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"timeout_ms": 3_600_001}, "timeout_ms"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"monitor_id": ""}, "id"),
        ({"monitor_id": "x" * 200}, "id"),
        ({"monitor_id": "a#b"}, "id"),
        ({"command": " "}, "command"),
        ({"command": ()}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"env": {"A=B": "c"}}, "env"),
        ({"env": {"": "c"}}, "env"),
    ],
)
def test_a_spec_that_cannot_be_run_is_refused(facts: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        spec(**facts)
    assert field == refused.value.field


def test_a_spec_does_not_show_its_command_or_environment() -> None:
    one = spec("curl -H secret-1", env={"TOKEN": "secret-2"})
    assert "secret" not in repr(one) + str(one) + repr([one])


async def test_the_configuration_is_checked_when_it_is_used() -> None:
    watched = Watched((spec(), spec()))
    with pytest.raises(SettingsError, match="monitor `m` is configured twice"):
        await watched.runtime()
    # The id is free again: nothing of the runtime that was not built is left.
    watched.specs = ()
    await closed(await watched.runtime())
    many = Watched(tuple(spec(monitor_id=f"m{n}") for n in range(33)))
    with pytest.raises(SettingsError) as refused:
        await many.runtime()
    assert 32 == refused.value.limit


# -- runs -------------------------------------------------------------------------------------------------------


async def test_lines_and_the_end_are_queued_for_the_session() -> None:
    watched = Watched((spec("echo one; echo two"),))
    runtime = await watched.runtime()
    events = Events(runtime)
    status = await runtime.monitors.start("m")
    assert MonitorRunState.RUNNING is status.state
    status = await ended(runtime)
    assert (MonitorRunState.EXITED, 0, 2) == (status.state, status.exit_code, status.lines)
    assert BackgroundTaskState.COMPLETED is (await record_of(runtime, "monitor:m")).state
    queued = await watched.queued()
    assert ["one", "two"] == [line for body in queued for line in body["lines"]]
    assert {"monitor": "m", "state": "exited", "exit_code": 0, "reason": "exited with code 0"} == {
        key: value for key, value in queued[-1].items() if key != "lines"
    }
    assert {("s", "monitor")} == set(watched.poked)
    heard = await events.until("completed")
    assert ["registered", "completed"] == [heard[0].type, heard[-1].type]
    told = [event.progress for event in heard if isinstance(event, TaskProgress)]
    assert queued == told
    record = await record_of(runtime, "monitor:m")
    assert (BackgroundTaskKind.MONITOR, "monitor", "s") == (record.kind, record.producer, record.scope.session_id)
    await closed(runtime)


async def test_notify_tells_subscribers_and_queues_nothing() -> None:
    watched = Watched((spec("echo one", wake_policy=MonitorWakePolicy.NOTIFY),))
    runtime = await watched.runtime()
    events = Events(runtime)
    await runtime.monitors.start("m")
    heard = await events.until("completed")
    assert ["one"] == [
        line for event in heard if isinstance(event, TaskProgress) for line in dict[str, Any](event.progress)["lines"]
    ]
    assert ([], []) == (await watched.queued(), watched.poked)
    await closed(runtime)


async def test_without_a_store_lines_are_told_alone() -> None:
    runtime = await Watched((spec("echo one"),)).runtime(stored=False)
    await runtime.monitors.start("m")
    assert MonitorRunState.EXITED is (await ended(runtime)).state
    await closed(runtime)


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        ("echo why >&2; exit 3", 3, "exited with code 3: why"),
        ("kill -9 $$", -9, "ended by signal 9"),
        (("no-such-program-here",), 127, "exited with code 127"),
    ],
)
async def test_a_command_that_fails_says_how(command: Any, code: int, reason: str) -> None:
    runtime = await Watched((spec(command),)).runtime()
    await runtime.monitors.start("m")
    status = await ended(runtime)
    assert (MonitorRunState.FAILED, code) == (status.state, status.exit_code)
    assert (status.reason or "").startswith(reason)
    record = await record_of(runtime, "monitor:m")
    assert BackgroundTaskState.FAILED is record.state
    assert record.failure is not None
    assert reason in (record.failure.summary or "")
    await closed(runtime)


async def test_a_command_that_cannot_be_started_fails() -> None:
    runtime = await Watched((spec(cwd="/no/such/folder"),)).runtime()
    await runtime.monitors.start("m")
    status = await ended(runtime)
    assert (MonitorRunState.FAILED, None) == (status.state, status.exit_code)
    assert "/no/such/folder" in (status.reason or "")
    await closed(runtime)


async def test_a_command_over_its_time_fails_and_is_gone_and_a_persistent_one_has_none() -> None:
    watched = Watched((spec("echo $$; sleep 600", timeout_ms=300), spec(SLEEPS, "p", timeout_ms=1, persistent=True)))
    runtime = await watched.runtime()
    await runtime.monitors.start("p")
    await runtime.monitors.start("m")
    status = await ended(runtime)
    assert (MonitorRunState.FAILED, "it did not end within 300 ms") == (status.state, status.reason)
    lines = [line for body in await watched.queued() if body["monitor"] == "m" for line in body["lines"]]
    assert not any(alive(int(line)) for line in lines)
    assert MonitorRunState.RUNNING is runtime.monitors.list()[1].state
    await runtime.monitors.stop("p")
    await closed(runtime)


async def test_a_command_sees_its_own_environment_and_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASH_REDIS_URL", "redis://:secret@x")
    monkeypatch.setenv("SOME_API_KEY", "secret")
    watched = Watched((spec("env; pwd", env={"MINE": "1"}, cwd="/"),))
    runtime = await watched.runtime()
    await runtime.monitors.start("m")
    await ended(runtime)
    lines = [line for body in await watched.queued() for line in body["lines"]]
    assert "MINE=1" in lines
    assert "/" == lines[-1]
    assert "secret" not in "\n".join(lines)
    await closed(runtime)


# -- stops ------------------------------------------------------------------------------------------------------


async def test_a_stopped_monitor_is_cancelled_and_its_processes_are_gone() -> None:
    watched = Watched((spec("sleep 600 & echo $!; echo $$; wait"),))
    runtime = await watched.runtime()
    await runtime.monitors.start("m")

    async def two() -> bool:
        return 2 == sum(len(body["lines"]) for body in await watched.queued())

    await eventually(two)
    pids = [int(line) for body in await watched.queued() for line in body["lines"]]
    assert all(map(alive, pids))
    status = await runtime.monitors.stop("m")
    assert (MonitorRunState.STOPPED, None) == (status.state, status.exit_code)
    await eventually(lambda: not any(map(alive, pids)))
    assert BackgroundTaskState.CANCELLED is (await record_of(runtime, "monitor:m")).state
    assert "state" not in str(await watched.queued())
    assert status == await runtime.monitors.stop("m")
    assert MonitorRunState.RUNNING is (await runtime.monitors.start("m")).state
    await closed(runtime)


async def test_cancelling_its_task_stops_a_monitor_and_all_tasks_include_monitors() -> None:
    runtime = await Watched((spec(), spec(monitor_id="n"))).runtime()
    for monitor_id in ("m", "n"):
        await runtime.monitors.start(monitor_id)
    record = await runtime.background_tasks.cancel_background_task("s", "monitor:m")
    assert BackgroundTaskState.CANCELLED is record.state
    states = [status.state for status in runtime.monitors.list()]
    assert [MonitorRunState.STOPPED, MonitorRunState.RUNNING] == states
    cancelled = await runtime.background_tasks.cancel_all_background_tasks("s")
    assert ["monitor:n"] == [task.id for task in cancelled]
    assert MonitorRunState.STOPPED is runtime.monitors.list()[1].state
    await closed(runtime)


async def test_a_monitor_that_was_stopped_is_started_again_at_once() -> None:
    runtime = await Watched((spec(),)).runtime()
    ways = (
        lambda: runtime.monitors.stop("m"),
        lambda: runtime.background_tasks.cancel_background_task("s", "monitor:m"),
        lambda: runtime.background_tasks.cancel_managed_task("s", "monitor:m"),
    )
    for stop in ways:
        assert MonitorRunState.RUNNING is (await runtime.monitors.start("m")).state
        await stop()
    assert MonitorRunState.RUNNING is (await runtime.monitors.start("m")).state
    assert runtime.async_handles.get("monitor:m").is_live
    await closed(runtime)


async def test_monitors_survive_what_is_unreferenced() -> None:
    runtime = await Watched((spec(),)).runtime()
    await runtime.monitors.start("m")
    assert () == await runtime.background_tasks.cancel_unreferenced_async_handles("s", [])
    assert MonitorRunState.RUNNING is runtime.monitors.list()[0].state
    assert BackgroundTaskState.RUNNING is (await record_of(runtime, "monitor:m")).state
    assert runtime.async_handles.get("monitor:m").is_live
    await closed(runtime)


async def test_a_runtime_that_is_closed_takes_its_commands_along() -> None:
    watched = Watched((spec("echo $$; sleep 600"),))
    runtime = await watched.runtime()
    await runtime.monitors.start("m")

    async def told() -> bool:
        return bool(await watched.queued())

    await eventually(told)
    pid = int((await watched.queued())[0]["lines"][0])
    await closed(runtime)
    await eventually(lambda: not alive(pid))
    assert MonitorRunState.STOPPED is runtime.monitors.list()[0].state
    assert 1 == len(await watched.queued())


async def test_starts_that_cannot_be() -> None:
    runtime = await Watched((spec(),)).runtime()
    with pytest.raises(UnknownMonitorError, match="unknown monitor `other`"):
        await runtime.monitors.start("other")
    with pytest.raises(UnknownMonitorError):
        await runtime.monitors.stop("other")
    await runtime.monitors.start("m")
    with pytest.raises(PluginSessionError, match="managed session task `monitor:m` is already running"):
        await runtime.monitors.start("m")
    assert MonitorRunState.RUNNING is runtime.monitors.list()[0].state
    await closed(runtime)
    lonely = await Watched((spec(),), host=None).runtime(stored=False)
    with pytest.raises(PluginSessionError, match="managed background tasks are unavailable in this runtime"):
        await lonely.monitors.start("m")
    assert MonitorRunState.IDLE is lonely.monitors.list()[0].state
    await closed(lonely)


async def test_a_row_of_a_monitor_that_runs_elsewhere_is_cancelled_by_its_callback() -> None:
    runtime = await Watched().runtime()
    stopped: list[str] = []
    registration = BackgroundTaskRegistration("monitor:far", BackgroundTaskKind.MONITOR, "elsewhere")
    await runtime.background_tasks.register_background_task("s", registration, lambda: stopped.append("far"))
    record = await runtime.background_tasks.cancel_background_task("s", "monitor:far")
    assert (BackgroundTaskState.CANCELLED, ["far"]) == (record.state, stopped)
    await closed(runtime)


# -- awaiting ---------------------------------------------------------------------------------------------------


async def test_a_monitor_is_awaited_by_its_handle() -> None:
    runtime = await Watched((spec("echo one"), spec("exit 4", "bad"), spec(SLEEPS, "long"))).runtime()
    for monitor_id in ("m", "bad", "long"):
        await runtime.monitors.start(monitor_id)

    async def awaited(monitor_id: str) -> Any:
        return await await_async_handle(runtime.async_handles, async_handle_value(f"monitor:{monitor_id}", "monitor"))

    good = await awaited("m")
    assert isinstance(good, ToolSuccess)
    assert ("exited", 0, 1) == tuple(good.value[key] for key in ("state", "exit_code", "lines"))
    bad = await awaited("bad")
    assert isinstance(bad, ToolFailure)
    assert ("monitor_failed", "exited with code 4") == (bad.code, bad.message)
    await runtime.monitors.stop("long")
    assert ToolCancelled("async task was cancelled") == await awaited("long")
    await closed(runtime)


# -- arming -----------------------------------------------------------------------------------------------------


async def test_a_session_start_arms_and_a_restore_restarts_what_says_so() -> None:
    start = MonitorArm.SESSION_START
    watched = Watched(
        (
            spec(SLEEPS, "manual", restart_on_restore=True),
            spec(SLEEPS, "once", arm_on=start),
            spec(SLEEPS, "again", arm_on=start, restart_on_restore=True),
        )
    )

    def running(runtime: Any) -> list[str]:
        return [status.id for status in runtime.monitors.list() if status.state is MonitorRunState.RUNNING]

    runtime = await watched.runtime()
    assert ["once", "again"] == running(runtime)
    beside = await watched.runtime(beside=True)
    assert [] == running(beside)
    await closed(beside)
    await runtime.park()
    again = await watched.runtime()
    assert ["again"] == running(again)
    await again.monitors.restart_lost(["monitor:manual", "monitor:once"])
    assert ["manual", "again"] == running(again)
    await closed(again)


async def test_monitors_of_a_session_may_be_a_function_of_it() -> None:
    watched = Watched()
    watched.specs = lambda session_id: [spec(monitor_id=f"of-{session_id}")]  # type: ignore[assignment]
    runtime = await watched.runtime()
    assert ["of-s"] == [status.id for status in runtime.monitors.list()]
    await closed(runtime)


@pytest.mark.parametrize("turns", range(4))
async def test_a_run_that_is_killed_and_cancelled_says_that_it_is_over(turns: int) -> None:
    """Wherever the cancel comes in, also while the run waits for what it ends: who waits for the end is told."""
    run = MonitorRun(MonitorSpec("m", SLEEPS), _NoSink(), VirtualClock())
    task = asyncio.create_task(run.work())
    await eventually(lambda: run.status.lines > 0)
    run.kill()
    task.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert run.ended.is_set()
    assert MonitorRunState.STOPPED is run.status.state


class _NoSink:
    async def has_room(self) -> bool:
        return True

    async def deliver(self, batch: MonitorBatch) -> None:
        del batch
