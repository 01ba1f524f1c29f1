"""Monitors in the fleet: each is a process of the kind ``lash.monitor``, so one worker at a time runs it.

``docs/contracts/background_tasks.md`` 6. A session moves between workers with each turn; its monitors do not. A worker
that dies is taken over as for every process, and what the process runs is looked up in this worker's own
configuration: a row names a monitor, never a command.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from typing_extensions import override

from lash_core.clock import Clock
from lash_core.errors import LashError
from lash_core.errors.async_handle import MonitorFailedError, UnknownMonitorError
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput, ToolFailureClass
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.manifest import KindManifest
from lash_core.model.monitor import MonitorArm, MonitorSpec, MonitorSpecs, MonitorWakePolicy, monitors_of
from lash_core.model.process_input import EngineInput, ProcessIdentity
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import ProcessProvenance, SessionOriginator, SessionScope
from lash_core.runtime.background.monitor_queue import MonitorQueue
from lash_core.runtime.background.monitor_run import MonitorBatch, MonitorRun, MonitorSink
from lash_core.runtime.plugins import PluginFactory
from lash_core.runtime.process.engine import EngineRun, ProcessEngine
from lash_core.runtime.token_race import end_tasks
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import SessionStoreFactory

MONITOR_KIND = "lash.monitor"

_PARAMS: dict[str, Any] = {
    "type": "object",
    "properties": {"session_id": {"type": "string"}, "monitor_id": {"type": "string"}},
    "required": ["session_id", "monitor_id"],
    "additionalProperties": False,
}

MONITOR_MANIFEST = KindManifest(
    kind=MONITOR_KIND, disposition=RecoveryDisposition.OWNER_BOUND, app="lash", params_schema=_PARAMS
)

_log = logging.getLogger(__name__)


def monitor_process_id(session_id: str, monitor_id: str) -> str:
    """The id of the process that the start of a session starts: one of each monitor, for good."""
    digest = hashlib.sha256(f"{session_id}\n{monitor_id}".encode()).hexdigest()
    return f"monitor-{digest[:32]}"


async def start_session_monitors(registry: ProcessRegistry, specs: MonitorSpecs, session_id: str) -> None:
    """Start the monitors that a session's start arms. Safe to repeat; what cannot be started is logged."""
    for spec in monitors_of(specs, session_id):
        if spec.arm_on is MonitorArm.SESSION_START:
            try:
                await start_monitor(registry, spec, session_id)
            except (LashError, OSError):
                _log.warning("monitor %s of session %s did not start", spec.id, session_id, exc_info=True)


async def start_monitor(registry: ProcessRegistry, spec: MonitorSpec, session_id: str) -> str:
    """Start a monitor of a session, once for good, and answer the id of its process; the session gets its handle."""
    scope = SessionScope(session_id)
    process_id = monitor_process_id(session_id, spec.id)
    registration = ProcessRegistration(
        process_id,
        EngineInput(MONITOR_KIND, {"session_id": session_id, "monitor_id": spec.id}),
        # Owner bound: when its worker dies it ends as abandoned, and nobody runs the command again.
        RecoveryDisposition.RERUNNABLE if spec.restart_on_restore else RecoveryDisposition.OWNER_BOUND,
        provenance=ProcessProvenance(SessionOriginator(scope)),
        # In lists of all sessions' processes its kind alone would not tell it from others.
        identity=ProcessIdentity(MONITOR_KIND, spec.id),
    )
    descriptor = ProcessHandleDescriptor(MONITOR_KIND, spec.id)
    await registry.register_process(registration, grant_to=scope, descriptor=descriptor)
    return process_id


class MonitorsFactory(PluginFactory):
    """Gives a worker the engine of its monitors.

    Args:
        specs: what the host configures.
        sessions: whose queues the lines go to.
        clock: of the runs.
    """

    plugin_id = "lash.monitors"

    def __init__(self, specs: MonitorSpecs, sessions: SessionStoreFactory, clock: Clock) -> None:
        self._engine = MonitorEngine(specs, sessions, clock)

    @override
    def process_engines(self) -> Sequence[ProcessEngine]:
        """The engine."""
        return (self._engine,)

    @override
    def manifests(self) -> Mapping[str, KindManifest]:
        """So that a client can start one by kind."""
        return {MONITOR_KIND: MONITOR_MANIFEST}

    @override
    def tool_names(self) -> frozenset[str]:
        """It offers none."""
        return frozenset()


class MonitorEngine:
    """``ProcessEngine`` of monitors. A running one holds a slot of its worker.

    It builds no runtime: that would read the session's history for nothing, make a session of its own for a process
    with a captured environment, and make a session anew that was deleted.

    Args:
        specs: what the host configures.
        sessions: whose queues the lines go to.
        clock: of the runs.
    """

    def __init__(self, specs: MonitorSpecs, sessions: SessionStoreFactory, clock: Clock) -> None:
        self._specs = specs
        self._sessions = sessions
        self._clock = clock

    @property
    def kind(self) -> str:
        """``lash.monitor``."""
        return MONITOR_KIND

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """Run the command to its end, or until the process is cancelled.

        Raises:
            asyncio.CancelledError: the worker ended the run, and the command with it.
        """
        payload: Any = run.payload
        asked = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
        session_id, monitor_id = str(asked.get("session_id", "")), str(asked.get("monitor_id", ""))
        spec = next((spec for spec in monitors_of(self._specs, session_id) if spec.id == monitor_id), None)
        if spec is None:
            error = UnknownMonitorError(monitor_id)
            return ProcessAwaitOutput.failure(ToolFailureClass.UNAVAILABLE, error.code, error.message)
        store = await self._sessions.open_existing_store(session_id)
        if store is None:
            text = f"unknown session `{session_id}`"
            return ProcessAwaitOutput.failure(ToolFailureClass.UNAVAILABLE, "unknown_session", text)
        wakes = spec.wake_policy is MonitorWakePolicy.QUEUE_TURN
        # Workers hear of queued work from the store: nobody here is to be told.
        sink: MonitorSink = MonitorQueue(store, None) if wakes else _Silent()
        monitor = MonitorRun(spec, sink, self._clock)
        return await _outcome(run, monitor)


async def _outcome(run: EngineRun, monitor: MonitorRun) -> AnyAwaitOutput:
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(monitor.work())
    forget = run.cancellation.on_cancel(lambda: None if loop.is_closed() else _cancel_soon(loop, work))
    try:
        await asyncio.wait((work,))
    finally:
        forget()
        await end_tasks([work])
    if work.cancelled():
        return ProcessAwaitOutput.cancelled(run.cancellation.reason or "stopped")
    error = work.exception()
    if isinstance(error, MonitorFailedError):
        raw = monitor.status.to_json_value()
        return ProcessAwaitOutput.failure(ToolFailureClass.EXECUTION, error.code, error.message, raw=raw)
    if error is not None:
        raise error
    return ProcessAwaitOutput.success(monitor.status.to_json_value())


def _cancel_soon(loop: asyncio.AbstractEventLoop, work: asyncio.Future[str]) -> None:
    loop.call_soon_threadsafe(work.cancel)


class _Silent:
    """Of a monitor that starts no turns: in the fleet nobody subscribes to it, and its outcome counts its lines."""

    async def has_room(self) -> bool:
        return True

    async def deliver(self, batch: MonitorBatch) -> None:
        del batch
