"""What an ``@app.process`` function is given: its identity, and the verbs whose outcomes are recorded.

The function itself runs again after every takeover, park and retry; what a verb answered before is answered again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Unpack

from pydantic import TypeAdapter

from lash_core.errors import LashError, NotAvailableError
from lash_core.model.base import JsonValue
from lash_core.model.event import ProcessEvent
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.process.blocking import BlockingContext, ThreadBridge
from lash_core.runtime.process.children import ChildHandle, ChildOptions, ChildStarts
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.process.events import EventWriter
from lash_core.runtime.process.gather import Gatherings
from lash_core.runtime.process.promises import PendingEvent, pending_event
from lash_core.runtime.process.signals import SignalWaits
from lash_core.runtime.process.steps import StepRunner, sleep_effect
from lash_core.runtime.process.tools import ProcessTools, ToolCallError
from lash_core.runtime.process.verbs import RunVerbs, Submit, checked_ms, checked_name
from lash_core.runtime.recorded_values import RecordedValues

__all__ = ["ProcessContext", "ProcessTools", "ToolCallError"]

_log = logging.getLogger("lash.process")
_NO_TYPES: Mapping[str, TypeAdapter[Any]] = {}


class _RunLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the run's facts to the ``extra`` of a call; the standard adapter would drop that. Silent in a replay."""

    def __init__(self, verbs: RunVerbs, facts: dict[str, object]) -> None:
        super().__init__(_log, facts)
        self._verbs = verbs

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the standard library's name
        """False while the run replays what it did before: those lines were written then."""
        journal = self._verbs.journal
        return (journal is None or not journal.is_replaying) and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class ProcessContext:
    """One run of a process as its function sees it. It costs next to nothing until it is asked for something.

    Args:
        run: the run.
        app_version: what ``app_version`` answers.
        submit: runs plain functions of steps beside the loop; None runs them in it.
        signal_types: adapters of declared signal payloads by name.
    """

    __slots__ = (
        "_app_version",
        "_blocking",
        "_bridge",
        "_events",
        "_gatherings",
        "_log",
        "_run",
        "_signals",
        "_tools",
        "_values",
        "_verbs",
    )

    def __init__(
        self,
        run: EngineRun,
        app_version: str | None = None,
        *,
        submit: Submit | None = None,
        signal_types: Mapping[str, TypeAdapter[Any]] = _NO_TYPES,
    ) -> None:
        self._run = run
        self._app_version = app_version
        self._verbs = RunVerbs(run, submit)
        self._signals = SignalWaits(self._verbs, signal_types)
        self._events = EventWriter(self._verbs)
        self._values: RecordedValues | None = None
        self._gatherings = Gatherings(self._verbs)
        self._log: logging.LoggerAdapter[logging.Logger] | None = None
        self._tools: ProcessTools | None = None
        self._bridge: ThreadBridge | None = None
        self._blocking: BlockingContext | None = None

    # -- what the run is -----------------------------------------------------------------------------

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
        """True once the process is to end: cancel, timeout, lost lease. Code in a thread asks for it now and then.

        A cancel that came before this attempt shows when the replay is over, where it interrupted the function.
        """
        frontier = self._verbs.frontier
        return self._run.cancellation.cancelled and (frontier is None or frontier.is_over)

    @property
    def reason(self) -> str | None:
        """Why it is to end, or None."""
        return self._run.cancellation.reason if self.cancelled else None

    @property
    def is_replaying(self) -> bool:
        """True while verbs answer what an earlier attempt recorded, and nothing new was asked for yet."""
        journal = self._verbs.journal
        return journal is not None and journal.is_replaying

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
        """A logger whose records carry ``process_id``, ``fence`` and ``owner`` beside the ``extra`` of the call.

        Silent while the run replays: a line is not written again for what happened once.
        """
        if self._log is None:
            lease = self._run.context.run_lease
            owner = "" if lease is None else lease.lease.owner.owner_id
            self._log = _RunLog(self._verbs, {"process_id": self.process_id, "fence": self.fence, "owner": owner})
        return self._log

    @property
    def tools(self) -> ProcessTools:
        """The tools of the process's session; its runtime is built at the first call."""
        if self._tools is None:
            self._tools = ProcessTools(self._run)
        return self._tools

    @property
    def attachments(self) -> SessionAttachments:
        """Files of the process, kept as long as its row: put them in a step, whose recorded ref a replay answers.

        Raises:
            NotAvailableError: this run's host has no attachments.
        """
        if self._run.open_attachments is None:
            raise NotAvailableError(
                f"process `{self.process_id}` runs on a host without attachments", process_id=self.process_id
            )
        return self._run.open_attachments()

    def idempotency_key(self, name: str) -> str:
        """A key that is the same in every attempt: 64 hex digits of SHA-256 over ``<process id>:<name>``."""
        return hashlib.sha256(f"{self.process_id}:{name}".encode()).hexdigest()

    def raise_if_cancelled(self) -> None:
        """End the function as cancelled if it is to end; the way out for code in a thread.

        Raises:
            asyncio.CancelledError: the process is to end.
        """
        if self.cancelled:
            raise asyncio.CancelledError(self._run.cancellation.reason)

    # -- verbs ---------------------------------------------------------------------------------------

    async def step(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        retry: RetryPolicy | None = None,
        timeout_ms: Any = None,
        key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a side effect once and record how it ended; an attempt that comes later gets the record.

        A worker that dies between the effect and its record runs it again: give systems outside ``idempotency_key`` or
        ``fence``. Steps may run side by side; steps inside steps are not foreseen.

        Args:
            name: 1 to 100 bytes without ``#``; unique in the run, together with ``key``.
            fn: an async function runs in the loop, a plain one in a thread.
            *args: for ``fn``. Those that are JSON (models, dataclasses and dates too) are compared on replay.
            retry: tries in all and the waits between them; none by default. A raised ``Failure`` is not tried again.
            timeout_ms: for each try, ms or a timedelta. A thread cannot be stopped: its result is dropped.
            key: distinguishes steps of one name, in a loop for example.
            **kwargs: for ``fn``.

        Returns:
            What ``fn`` returned, by way of JSON: as its return annotation says, else plain JSON.

        Raises:
            StepFailed: it failed for good; ``code`` is ``step_failed``, ``step_timeout`` or ``step_result_invalid``.
            Failure: as raised by ``fn``.
            RuntimeFailure: ``step_name_repeated``; ``<backend>_effect_replay_hash_conflict`` when another request was
                recorded under the name; ``process_journal_full``.
            InvalidArgumentError: a bad name, key or timeout.
            LeaseLostError and store errors: let them pass, the worker tries again.
        """
        runner = StepRunner(self._verbs)
        call = runner.checked(name, fn, (args, kwargs), retry=retry, timeout_ms=timeout_ms, key=key)
        return await runner.run(call)

    async def sleep(self, duration_ms: Any, *, key: str | None = None) -> None:
        """Wait, over restarts: the due time is recorded. The slot is free meanwhile.

        Args:
            duration_ms: ms, or a timedelta.
            key: names the sleep; by default the n-th one of the run.
        """
        left_ms = checked_ms(duration_ms, "duration_ms")
        name = str(self._verbs.count("sleep")) if key is None else f"#{checked_name(key, 'sleep key')}"
        await sleep_effect(self._verbs, f"sleep:{name}", left_ms)

    async def wait_signal(self, name: str, timeout_ms: Any = None) -> Any:
        """Wait for the next signal of a declared name and answer its payload, as its declared type.

        Signals of a name are handed out in the order of the log, one a wait. One that came before is there at once.

        Args:
            name: declared by the kind.
            timeout_ms: ms or a timedelta; kept over restarts. None waits for ever.

        Raises:
            TimeoutError: none came in time; the next wait waits for the same one.
            UnknownSignalError: not declared. NotAvailableError: a process that is run directly.
        """
        return await self._signals.wait(name, timeout_ms)

    def await_event(self, name: str, timeout_ms: Any = None) -> PendingEvent:
        """A promise that code outside resolves once: hand its ``token`` out, then await it.

        Args:
            name: unique in the run.
            timeout_ms: ms or a timedelta, from the first await; kept over restarts. None waits for ever.

        Raises:
            InvalidArgumentError: a bad name or timeout. RuntimeFailure: ``await_event_name_repeated``,
                ``await_event_unsupported``. Awaiting it raises as ``PendingEvent.result``.
        """
        return pending_event(self._verbs, name, timeout_ms)

    async def start_child(
        self, kind: str, params: Any = None, *, process_id: str | None = None, **options: Unpack[ChildOptions]
    ) -> ChildHandle:
        """Start another process, once over all attempts; it belongs to the chain of this one.

        Args:
            kind: declared by an app of this worker, or published by another one.
            params: JSON, a pydantic model or a dataclass.
            process_id: by default ``<this id>/<kind>/<n>`` for the n-th child of the kind.
            **options: see ``ChildOptions``.

        Raises:
            UnknownKindError, InvalidArgumentError: nothing was started. RuntimeFailure:
                ``process_registration_conflict``: the id has other content.
        """
        return await ChildStarts(self._verbs).start(kind, params, process_id, options)

    async def gather(self, *things: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
        """Wait for several children, promises, steps or other awaitables at once; their values in order.

        As ``asyncio.gather``: without ``return_exceptions`` the first error is raised and the others go on. Which error
        was first is recorded, so a replay raises the same.
        """
        return await self._gatherings.gather(things, return_exceptions=return_exceptions)

    async def emit(self, event_type: str, payload: JsonValue = None, key: str | None = None) -> ProcessEvent:
        """Append an event of a declared type, under the run's lease, once over all attempts.

        Args:
            event_type: declared by the kind; neither a core type nor one that ends the process.
            payload: JSON.
            key: names the event; by default it is the n-th of its type, and what an earlier attempt wrote stands.

        Raises:
            InvalidArgumentError: a core type, or one that would end the process; its function ends it by returning.
            UndeclaredEventTypeError, InvalidPayloadError, LimitExceededError: nothing written.
            ReplayKeyConflictError: ``key`` stands for other content.
            LeaseLostError: this run may not write any more. UnknownProcessError: it has no row.
        """
        return await self._events.emit(event_type, payload, key)

    async def now_ms(self) -> int:
        """The time in ms since the epoch by this worker's clock, recorded: a replay gets the same."""
        return await self._recorded().now_ms()

    async def random(self) -> float:
        """A random number from 0 to 1, recorded. Not for secrets."""
        return await self._recorded().random()

    async def uuid(self) -> str:
        """A random UUID, recorded."""
        return await self._recorded().uuid()

    @property
    def blocking(self) -> BlockingContext:
        """The same verbs for plain functions, which run in threads: each returns when it is done.

        Raises:
            RuntimeError: in an async function; await the context's own verbs there.
        """
        if self._bridge is None:
            raise RuntimeError("ctx.blocking is for plain process functions; await the context's own verbs instead")
        if self._blocking is None:
            self._blocking = BlockingContext(self, self._bridge)
        return self._blocking

    def emit_from_thread(self, event_type: str, payload: JsonValue = None, key: str | None = None) -> ProcessEvent:
        """``ctx.blocking.emit``, under its older name."""
        return self.blocking.emit(event_type, payload, key)

    def _recorded(self) -> RecordedValues:
        if self._values is None:
            self._values = RecordedValues(self._verbs)
        return self._values

    # -- for the engine ------------------------------------------------------------------------------

    @property
    def store_error(self) -> LashError | None:
        """The last error of a store call made here: when it leaves the function, the worker retries the run."""
        return self._verbs.store_error

    def interrupt(self, interrupt: Callable[[], None]) -> None:
        """Deliver a cancel or timeout: at once, or when the replay is over (docs/adr/0107). In the loop's thread."""
        frontier = self._verbs.frontier
        if frontier is None:
            interrupt()
        else:
            frontier.hold(interrupt)

    def enter_thread(self) -> ThreadBridge:
        """Tell the context that its function runs in a thread beside the present loop."""
        self._bridge = ThreadBridge(asyncio.get_running_loop())
        return self._bridge

    def close(self) -> None:
        """The function is over: what it left running may start no effect any more."""
        self._gatherings.close()
        if self._verbs.frontier is not None:
            self._verbs.frontier.close()
        if self._bridge is not None:
            self._bridge.close()
        if self._verbs.journal is not None:
            self._verbs.journal.refuse()

    def __repr__(self) -> str:
        return f"ProcessContext(process_id={self.process_id!r}, attempt={self.attempt})"
