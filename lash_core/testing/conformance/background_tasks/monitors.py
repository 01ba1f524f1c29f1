"""Monitors of a session over any set of stores (``docs/contracts/background_tasks.md`` 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from lash_core.model.background_task import BackgroundTaskState
from lash_core.model.monitor import MonitorArm, MonitorRunState, MonitorSpec
from lash_core.model.turn_input import TurnInput
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.testing.conformance.background_tasks.arrange import BackgroundStores, TaskScene, task_scene
from lash_core.testing.waiting import eventually

SLEEPS = "sleep 600"


@dataclass
class _MonitorScene(TaskScene):
    monitors: tuple[MonitorSpec, ...] = ()

    @property
    def environment(self) -> RuntimeEnvironment:
        environment = super().environment
        environment.runtime_host.monitors = self.monitors
        return environment


def _scene(stores: BackgroundStores, *monitors: MonitorSpec) -> _MonitorScene:
    base = task_scene(stores, DurableBackgroundTaskHost(stores.background_tasks))
    return _MonitorScene(
        stores, base.session_id, base.provider, policy=base.policy, tasks=base.tasks, monitors=monitors
    )


async def _closed(runtime: LashRuntime, *scenes: _MonitorScene) -> None:
    runtime.close()
    await eventually(lambda: all(one.state is not MonitorRunState.RUNNING for one in runtime.monitors.list()))
    for scene in scenes:
        assert isinstance(scene.tasks, DurableBackgroundTaskHost)
        await scene.tasks.close()


async def _states(runtime: LashRuntime) -> dict[str, BackgroundTaskState]:
    tasks = await runtime.background_tasks.list_background_tasks(runtime.session_id)
    return {task.id: task.state for task in tasks}


async def lines_become_a_turn_of_the_session(stores: BackgroundStores) -> None:
    """In order, once, with the end at last; the record of the monitor ends with its command."""
    scene = _scene(stores, MonitorSpec("m", "echo one; echo two"))
    runtime = await scene.runtime()
    assert runtime.store is not None
    await runtime.monitors.start("m")

    async def has_ended() -> bool:
        return BackgroundTaskState.COMPLETED is (await _states(runtime))["monitor:m"]

    await eventually(has_ended)
    queued = await runtime.store.list_queued_work(runtime.session_id)
    bodies: list[Any] = [getattr(payload, "body", None) for batch in queued for payload in batch.payloads]
    assert ["one", "two"] == [line for body in bodies for line in body["lines"]]
    assert ("exited", 0) == (bodies[-1]["state"], bodies[-1]["exit_code"])
    assert len({batch.source_key for batch in queued}) == len(queued)
    turn = await runtime.run_next_queued_turn()
    assert turn is not None
    said = [message.text for message in runtime.read_view().read_model.messages if message.role == "user"]
    assert "one" in "".join(said)
    assert "two" in "".join(said)
    assert () == await runtime.store.list_queued_work(runtime.session_id)
    await _closed(runtime, scene)


async def a_monitor_whose_owner_was_lost_is_started_again(stores: BackgroundStores) -> None:
    """If it says so: another one has failed, and stays so. The command of the former owner is stopped."""
    specs = (
        MonitorSpec("again", SLEEPS, restart_on_restore=True),
        MonitorSpec("once", SLEEPS),
        MonitorSpec("start", SLEEPS, arm_on=MonitorArm.SESSION_START),
    )
    first = _scene(stores, *specs)
    lost = await first.runtime()
    await lost.stream_turn(TurnInput.text("hello"))
    await lost.monitors.start("again")
    await lost.monitors.start("once")
    assert {"monitor:again", "monitor:once", "monitor:start"} == set(await _states(lost))
    second = replace(first, tasks=DurableBackgroundTaskHost(stores.background_tasks))
    heir = await second.runtime()
    assert [MonitorRunState.IDLE] * 3 == [status.state for status in heir.monitors.list()]
    await heir.stream_turn(TurnInput.text("are you there?"))
    failed, running = BackgroundTaskState.FAILED, BackgroundTaskState.RUNNING
    assert {"monitor:again": running, "monitor:once": failed, "monitor:start": failed} == await _states(heir)
    assert MonitorRunState.RUNNING is heir.monitors.list()[0].state
    await _closed(lost, first)
    await _closed(heir, second)
