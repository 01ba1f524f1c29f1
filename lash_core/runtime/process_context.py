"""What an ``@app.process`` function is given: identity, cancel, events, log, tools."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from lash_core.errors import InvalidArgumentError, LashError, PluginSessionError
from lash_core.model.base import JsonValue
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest, Replay
from lash_core.model.event_type import CORE_BY_NAME
from lash_core.runtime.process_engine import EngineRun
from lash_core.runtime.tools import ToolContext

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger("lash.process")


class _RunLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the run's facts to the ``extra`` of a call; the standard adapter would drop that."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class ProcessContext:
    """One run of a process as its function sees it. It costs next to nothing until it is asked for something."""

    __slots__ = ("_app_version", "_log", "_loop", "_run", "_tools", "store_error")

    def __init__(self, run: EngineRun, app_version: str | None = None) -> None:
        self._run = run
        self._app_version = app_version
        self._log: logging.LoggerAdapter[logging.Logger] | None = None
        self._tools: ProcessTools | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.store_error: LashError | None = None
        """The last error of a store call made here: when it leaves the function, the worker retries the run."""

    @property
    def process_id(self) -> str:
        """The process."""
        return self._run.registration.id

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1. Earlier ones ended by a lost, yielded or given-back lease."""
        record = self._run.context.record
        return 1 if record is None else record.attempt + 1

    @property
    def cancelled(self) -> bool:
        """True once the process is to end: cancel, timeout, lost lease. Code in a thread asks for it now and then."""
        return self._run.cancellation.cancelled

    @property
    def reason(self) -> str | None:
        """Why it is to end, or None."""
        return self._run.cancellation.reason

    @property
    def fence(self) -> int:
        """A number that only rises over all attempts at this id, for systems that refuse stale writers; 0 unleased."""
        lease = self._run.context.run_lease
        return 0 if lease is None else lease.lease.fencing_token

    @property
    def labels(self) -> dict[str, str]:
        """Kind, queue and label of the process, for logs and metrics of the user's."""
        registration = self._run.registration
        identity = registration.resolved_identity
        labels = {"kind": identity.kind, "queue": registration.queue}
        return labels if identity.label is None else {**labels, "label": identity.label}

    @property
    def app_version(self) -> str | None:
        """Version of the app that runs this."""
        return self._app_version

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records carry ``process_id``, ``fence`` and ``owner`` beside the ``extra`` of the call."""
        if self._log is None:
            lease = self._run.context.run_lease
            owner = "" if lease is None else lease.lease.owner.owner_id
            facts = {"process_id": self.process_id, "fence": self.fence, "owner": owner}
            self._log = _RunLog(_log, facts)
        return self._log

    @property
    def tools(self) -> ProcessTools:
        """The tools of the process's session; its runtime is built at the first call."""
        if self._tools is None:
            self._tools = ProcessTools(self._run)
        return self._tools

    def idempotency_key(self, name: str) -> str:
        """A key that is the same in every attempt: 64 hex digits of SHA-256 over ``<process id>:<name>``."""
        return hashlib.sha256(f"{self.process_id}:{name}".encode()).hexdigest()

    def raise_if_cancelled(self) -> None:
        """End the function as cancelled if it is to end; the way out for code in a thread.

        Raises:
            asyncio.CancelledError: the process is to end.
        """
        if self._run.cancellation.cancelled:
            raise asyncio.CancelledError(self._run.cancellation.reason)

    async def emit(self, event_type: str, payload: JsonValue = None, key: str | None = None) -> ProcessEvent:
        """Append an event of a declared type, under the run's lease.

        With ``key`` the event is written once over all attempts: the same key answers the stored event.

        Raises:
            InvalidArgumentError: a core type, or one that would end the process; its function ends it by returning.
            UndeclaredEventTypeError, InvalidPayloadError, ReplayKeyConflictError, LimitExceededError: nothing written.
            LeaseLostError: this run may not write any more. UnknownProcessError: it has no row.
        """
        self._check_emitted(event_type)
        replay = None if key is None else Replay(key=f"process:{self.process_id}:emit:{key}")
        request = ProcessEventAppendRequest(
            event_type=event_type,
            payload=payload,
            replay=replay,
            wake_target_scope=self._run.context.wake_target_scope,
        )
        lease = self._run.context.run_lease
        try:
            result = await self._run.registry.append_event(
                self.process_id, request, lease=None if lease is None else lease.require()
            )
        except LashError as error:
            self.store_error = error
            raise
        return result.event

    def emit_from_thread(self, event_type: str, payload: JsonValue = None, key: str | None = None) -> ProcessEvent:
        """``emit`` for synchronous functions: waits until the event is written; the store's deadlines bound the wait.

        Raises:
            RuntimeError: called in the event loop's own thread. Else as ``emit``.
        """
        if self._loop is None:
            raise RuntimeError("emit_from_thread is for synchronous process functions; await emit instead")
        return asyncio.run_coroutine_threadsafe(self.emit(event_type, payload, key), self._loop).result()

    def enter_thread(self) -> None:
        """Tell the context that its function runs in a thread beside the present loop. For the engine."""
        self._loop = asyncio.get_running_loop()

    def _check_emitted(self, event_type: str) -> None:
        declared = self._run.registration.event_type(event_type)
        terminal = declared is not None and declared.semantics.terminal is not None
        if terminal or event_type in CORE_BY_NAME:
            raise InvalidArgumentError(
                f"event type `{event_type}` cannot be emitted by a process function",
                field="event_type",
                value=event_type,
                process_id=self.process_id,
            )

    def __repr__(self) -> str:
        return f"ProcessContext(process_id={self.process_id!r}, attempt={self.attempt})"


class ProcessTools:
    """Calls tools of the process's session by name."""

    def __init__(self, run: EngineRun) -> None:
        self._run = run
        self._runtime: LashRuntime | None = None
        self._calls = 0
        self._building = asyncio.Lock()

    async def names(self) -> tuple[str, ...]:
        """The member tools, sorted."""
        runtime = await self._built()
        return tuple(manifest.name for manifest in runtime.tools.catalog())

    async def call(self, name: str, args: JsonValue = None) -> Any:
        """Call a tool and return its value.

        Raises:
            ToolUnavailableError: no member tool of that name.
            ToolCallError: the tool answered a failure or was cancelled.
            MissingEnvironmentError, PluginSessionError: the session cannot be rebuilt.
        """
        runtime = await self._built()
        self._calls += 1
        context = ToolContext(
            session_id=runtime.session_id,
            call_id=f"{self._run.process_id}:{self._calls}",
            process_id=self._run.process_id,
            cancellation=self._run.cancellation,
        )
        output = await runtime.call_tool(name, args if args is not None else {}, context)
        if output.type == "success":
            return output.value
        raise ToolCallError(name, output.type if output.type == "cancelled" else output.code, output.message)

    async def _built(self) -> LashRuntime:
        async with self._building:
            if self._runtime is None:
                self._runtime = await self._run.runtime_builder.build()
            return self._runtime


class ToolCallError(PluginSessionError):
    """A tool that was called from a process function failed; ``tool_code`` is its code."""

    code = "tool_call_failed"

    def __init__(self, tool_name: str, tool_code: str, message: str) -> None:
        super().__init__(f"tool `{tool_name}` failed: {tool_code}: {message}", field="tool_name", value=tool_name)
        self.tool_code = tool_code
