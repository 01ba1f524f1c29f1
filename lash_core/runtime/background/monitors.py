"""The monitors of one session in one runtime: started, stopped and listed by its host.

``docs/contracts/background_tasks.md`` 6. A monitor is a managed task ``monitor:<id>`` of the session. Which commands
there are is configuration of the host: nothing that a model says becomes a command.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lash_core.errors import LashError, LimitExceededError, PluginSessionError, SettingsError
from lash_core.errors.async_handle import UnknownMonitorError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.model.async_handle import AsyncHandleNamespace
from lash_core.model.background_task import (
    BackgroundTaskKind,
    BackgroundTaskRegistration,
    CancelPolicy,
    ClosePolicy,
)
from lash_core.model.monitor import (
    MonitorArm,
    MonitorRunState,
    MonitorSpec,
    MonitorSpecs,
    MonitorStatus,
    monitors_of,
)
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolSuccess
from lash_core.runtime.background.async_handle import CANCELLED_TEXT, AsyncToolHandle
from lash_core.runtime.background.monitor_queue import MONITOR_EVENT
from lash_core.runtime.background.monitor_run import MonitorRun
from lash_core.runtime.background.monitor_seat import MonitorSeat, SeatSink
from lash_core.runtime.background.task_host import NO_MANAGED_TASKS, BackgroundTaskHost
from lash_core.runtime.turns.tool_attempt import failure_of

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

MONITORS_MAX = 32
"""Monitors of one session: each is a process of the operating system, with a guard beside it."""
STOP_SECONDS = 2.0
"""A command that was told to end is gone by then."""

_log = logging.getLogger(__name__)


class SessionMonitors:
    """The monitors of one session. Belongs to the runtime's event loop; ``runtime.monitors`` is one.

    Args:
        seat: the session's services.
        specs: what the host configures.

    Raises:
        SettingsError: two monitors of one id, or more than ``MONITORS_MAX``.
    """

    def __init__(self, seat: MonitorSeat, specs: MonitorSpecs = ()) -> None:
        self._seat = seat
        self._specs = monitors_by_id(monitors_of(specs, seat.session_id))
        self._runs: dict[str, MonitorRun] = {}
        self._is_armed = False

    async def start(self, monitor_id: str) -> MonitorStatus:
        """Start a monitor; one that ended may be started again.

        Raises:
            UnknownMonitorError: the host configures none of that id.
            PluginSessionError: it runs already, or does not end; the runtime has no host of background tasks.
        """
        spec = self._spec(monitor_id)
        host, seat = self._host(), self._seat
        await self._wait_for_the_run_before(host, spec)
        run = MonitorRun(spec, SeatSink(seat, host, spec), seat.clock)
        await host.spawn_managed(
            seat.scope_key,
            BackgroundTaskRegistration(spec.task_id, BackgroundTaskKind.MONITOR, "monitor"),
            run.work,
            cancel_policy=CancelPolicy.ABORT_LOCAL,
            close_policy=ClosePolicy.CANCEL,
        )
        self._runs[spec.id] = run
        self._mirror(run)
        # Its first step is made when this answers: who cancels it then cancels a run that says that it is over.
        await asyncio.sleep(0)
        if not run.has_begun and not await self._is_live(host, spec):
            run.kill()
        return run.status

    async def stop(self, monitor_id: str) -> MonitorStatus:
        """Stop a monitor and answer when its command is gone; one that does not run stays as it is.

        Raises:
            UnknownMonitorError: the host configures none of that id.
        """
        run = self._runs.get(monitor_id)
        if run is None:
            return self._status(self._spec(monitor_id))
        if run.status.state is MonitorRunState.RUNNING and self._seat.host is not None:
            await self._seat.host.cancel_managed(self._seat.scope_key, run.spec.task_id)
            if not run.has_begun:
                run.kill()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await run.ended.wait()
            except TimeoutError:
                run.kill()
        return run.status

    def list(self) -> tuple[MonitorStatus, ...]:
        """Every configured monitor, in the order of the configuration. Reads memory alone."""
        return tuple(self._status(spec) for spec in self._specs.values())

    async def arm(self, *, is_restored: bool) -> tuple[MonitorStatus, ...]:
        """The session begins, or is back in memory: start what that arms. What cannot be started is logged.

        A restored session starts again, of the monitors that its first start armed, those with
        ``restart_on_restore``.
        """
        self._is_armed = True
        return await self._start_all(
            spec.id
            for spec in self._specs.values()
            if spec.arm_on is MonitorArm.SESSION_START and (spec.restart_on_restore or not is_restored)
        )

    async def restart_lost(self, task_ids: Iterable[str]) -> tuple[MonitorStatus, ...]:
        """Start again, of monitors whose owner was lost, those with ``restart_on_restore``; none in an unarmed runtime.

        Args:
            task_ids: tasks that were adopted as lost.
        """
        lost = frozenset(task_ids) if self._is_armed else frozenset[str]()
        return await self._start_all(
            spec.id for spec in self._specs.values() if spec.restart_on_restore and spec.task_id in lost
        )

    def close(self) -> None:
        """The runtime goes away: commands are killed at once, and nothing is queued any more. May be called twice."""
        for run in self._runs.values():
            run.kill()

    # -- inside ----------------------------------------------------------------------------------------

    def _host(self) -> BackgroundTaskHost:
        if self._seat.host is None:
            raise BackgroundTaskError(NO_MANAGED_TASKS, field="background_task_host")
        return self._seat.host

    async def _wait_for_the_run_before(self, host: BackgroundTaskHost, spec: MonitorSpec) -> None:
        """A cancelled task has ended at once; its command, and the entry that is awaited, a moment later."""
        entry = self._seat.handles.find(spec.task_id)
        if entry is None or not entry.is_live:
            return
        if await self._is_live(host, spec):
            return  # The host refuses a second one.
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await entry.changed()
        except TimeoutError:
            text = f"monitor `{spec.id}` was stopped and does not end"
            raise PluginSessionError(text, field="monitor_id", value=spec.id) from None

    async def _is_live(self, host: BackgroundTaskHost, spec: MonitorSpec) -> bool:
        record = await host.get_managed(self._seat.scope_key, spec.task_id)
        return record is not None and not record.state.is_terminal

    def _spec(self, monitor_id: str) -> MonitorSpec:
        spec = self._specs.get(monitor_id)
        if spec is None:
            raise UnknownMonitorError(monitor_id)
        return spec

    def _status(self, spec: MonitorSpec) -> MonitorStatus:
        run = self._runs.get(spec.id)
        if run is not None:
            return run.status
        return MonitorStatus(id=spec.id, task_id=spec.task_id, state=MonitorRunState.IDLE, wake_policy=spec.wake_policy)

    async def _start_all(self, monitor_ids: Iterable[str]) -> tuple[MonitorStatus, ...]:
        started: list[MonitorStatus] = []
        for monitor_id in monitor_ids:
            if self._status(self._specs[monitor_id]).state is MonitorRunState.RUNNING:
                continue
            try:
                started.append(await self.start(monitor_id))
            except (LashError, OSError):
                _log.warning("monitor %s of session %s did not start", monitor_id, self._seat.session_id, exc_info=True)
        return tuple(started)

    def _mirror(self, run: MonitorRun) -> None:
        """An entry in the table of handles, so that the monitor can be awaited like a task."""

        async def until_ended(handle: AsyncToolHandle) -> AnyToolOutput:
            del handle
            await run.ended.wait()
            status = run.status
            match status.state:
                case MonitorRunState.STOPPED:
                    return ToolCancelled(CANCELLED_TEXT)
                case MonitorRunState.FAILED:
                    return failure_of("execution", "monitor_failed", status.reason or "failed")
                case _:
                    return ToolSuccess(status.to_json_value())

        try:
            self._seat.handles.start(
                until_ended,
                tool_name=MONITOR_EVENT,
                handle_id=run.spec.task_id,
                namespace=AsyncHandleNamespace.MONITOR,
                identifier=run.spec.id,
            )
        except LimitExceededError as error:
            _log.warning("monitor %s cannot be awaited: %s", run.spec.id, error)


async def arm_monitors(runtime: LashRuntime, *, is_restored: bool) -> None:
    """Arm the monitors of a runtime that was just built; see ``SessionMonitors.arm``.

    Raises:
        SettingsError: they are configured wrong; the runtime is closed.
    """
    try:
        await runtime.monitors.arm(is_restored=is_restored)
    except BaseException:
        runtime.close()
        raise


def monitors_by_id(specs: Iterable[MonitorSpec]) -> dict[str, MonitorSpec]:
    """The monitors of one session, checked.

    Raises:
        SettingsError: two of one id, or more than ``MONITORS_MAX``.
    """
    found: dict[str, MonitorSpec] = {}
    for spec in specs:
        if spec.id in found:
            raise SettingsError(f"monitor `{spec.id}` is configured twice", field="monitors", value=spec.id)
        found[spec.id] = spec
    if len(found) > MONITORS_MAX:
        raise SettingsError(
            f"{len(found)} monitors are configured for a session; the limit is {MONITORS_MAX}",
            field="monitors",
            value=len(found),
            limit=MONITORS_MAX,
        )
    return found
