"""The verbs of a context for plain functions, which run in threads beside the loop (docs/adr/0109).

A call hands its coroutine to the loop and waits for the answer. A plain function that a step is to run comes back to
the calling thread: it takes no second thread, and one worker's threads cannot wait for each other.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.event import ProcessEvent
from lash_core.model.registration import RetryPolicy
from lash_core.runtime.process.children import ChildHandle, ChildOptions
from lash_core.runtime.process.promises import PendingEvent

if TYPE_CHECKING:
    from lash_core.runtime.process.context import ProcessContext


REFUSAL_PAUSE_SECONDS = 0.01
"""Before a call is refused."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A plain function for the waiting thread."""

    call: Callable[[], Any]
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Done:
    """The end of a call."""

    value: Any = None
    error: BaseException | None = None


_Box = queue.SimpleQueue["_Job | _Done"]
_BOX: contextvars.ContextVar[_Box | None] = contextvars.ContextVar("lash_thread_box", default=None)


class ThreadBridge:
    """Carries calls from the function's thread to its loop. Made in the loop; ``call`` belongs to the thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancel_next = False
        self._closed = False

    def call(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a coroutine in the loop and wait for it, in the thread.

        Raises:
            asyncio.CancelledError: the process is to end, or the run leaves memory.
        """
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise InvalidArgumentError(
                "ctx.blocking would stop the event loop that it is called in; await the context's own verbs there",
                field="blocking",
            )
        box: _Box = queue.SimpleQueue()
        self._loop.call_soon_threadsafe(self._begin, make, box)
        while True:
            item = box.get()
            if isinstance(item, _Done):
                if item.error is not None:
                    raise item.error
                return item.value
            done = _done(item.call)
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_settle, item.future, done)

    # -- in the loop ---------------------------------------------------------------------------------

    def cancel_once(self) -> None:
        """Deliver one cancel: to the call that is under way, else to the next one."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
        else:
            self._cancel_next = True

    def close(self) -> None:
        """The run ends here: the call under way and all later ones raise ``CancelledError``."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    def _begin(self, make: Callable[[], Coroutine[Any, Any, Any]], box: _Box) -> None:
        if self._closed or self._cancel_next:
            self._cancel_next = False
            # A function that catches this and asks again must not keep the loop busy.
            error = asyncio.CancelledError("the process is to end")
            self._loop.call_later(REFUSAL_PAUSE_SECONDS, box.put, _Done(error=error))
            return
        context = contextvars.copy_context()
        context.run(_BOX.set, box)
        task = self._loop.create_task(self._run(make, box), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, make: Callable[[], Coroutine[Any, Any, Any]], box: _Box) -> None:
        try:
            value = await make()
        except BaseException as error:  # noqa: BLE001 - all of it belongs to the thread that waits
            box.put(_Done(error=error))
        else:
            box.put(_Done(value))


def submit_here(call: Callable[[], Any]) -> asyncio.Future[Any] | None:
    """Hand a plain function to the thread whose call this is; None when the present task belongs to no thread."""
    box = _BOX.get()
    if box is None:
        return None
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    box.put(_Job(call, future))
    return future


def _done(call: Callable[[], Any]) -> _Done:
    try:
        return _Done(call())
    except BaseException as error:  # noqa: BLE001 - it belongs to the task that asked for the call
        return _Done(error=error)


def _settle(future: asyncio.Future[Any], done: _Done) -> None:
    if future.done():
        return
    if isinstance(done.error, StopIteration):
        future.set_exception(RuntimeError("StopIteration left the function"))
    elif done.error is not None:
        future.set_exception(done.error)
    else:
        future.set_result(done.value)


class BlockingContext:
    """What plain functions get as their context: each verb returns when it is done.

    All else (``fence``, ``cancelled``, ``log``, …) is the context's own. ``ctx.blocking`` is this object too, for code
    that type checkers read. ``asyncio.CancelledError`` ends the function.
    """

    def __init__(self, context: ProcessContext, bridge: ThreadBridge) -> None:
        self._context = context
        self._bridge = bridge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    @property
    def blocking(self) -> BlockingContext:
        """Itself."""
        return self

    def step(
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
        """As ``ProcessContext.step``; a plain ``fn`` runs in this thread, where ``timeout_ms`` cannot interrupt it."""
        context = self._context
        return self._bridge.call(
            lambda: context.step(name, fn, *args, retry=retry, timeout_ms=timeout_ms, key=key, **kwargs)
        )

    def sleep(self, duration_ms: Any, *, key: str | None = None) -> None:
        """As ``ProcessContext.sleep``."""
        self._bridge.call(lambda: self._context.sleep(duration_ms, key=key))

    def wait_signal(self, name: str, timeout_ms: Any = None) -> Any:
        """As ``ProcessContext.wait_signal``."""
        return self._bridge.call(lambda: self._context.wait_signal(name, timeout_ms))

    def await_event(self, name: str, timeout_ms: Any = None) -> BlockingEvent:
        """As ``ProcessContext.await_event``; ``result()`` waits."""

        async def make() -> PendingEvent:
            return self._context.await_event(name, timeout_ms)

        return BlockingEvent(self._bridge, self._bridge.call(make))

    def start_child(
        self, kind: str, params: Any = None, *, process_id: str | None = None, **options: Unpack[ChildOptions]
    ) -> BlockingChild:
        """As ``ProcessContext.start_child``."""
        handle = self._bridge.call(lambda: self._context.start_child(kind, params, process_id=process_id, **options))
        return BlockingChild(self._bridge, handle)

    def gather(self, *things: BlockingChild | BlockingEvent, return_exceptions: bool = False) -> list[Any]:
        """As ``ProcessContext.gather``, for children and promises."""
        pending = [thing.pending for thing in things]
        return self._bridge.call(lambda: self._context.gather(*pending, return_exceptions=return_exceptions))

    def emit(self, event_type: str, payload: JsonValue = None, key: str | None = None) -> ProcessEvent:
        """As ``ProcessContext.emit``."""
        return self._bridge.call(lambda: self._context.emit(event_type, payload, key))

    def now_ms(self) -> int:
        """As ``ProcessContext.now_ms``."""
        return self._bridge.call(self._context.now_ms)

    def random(self) -> float:
        """As ``ProcessContext.random``."""
        return self._bridge.call(self._context.random)

    def uuid(self) -> str:
        """As ``ProcessContext.uuid``."""
        return self._bridge.call(self._context.uuid)


class BlockingChild:
    """A child as a plain function sees it."""

    def __init__(self, bridge: ThreadBridge, pending: ChildHandle) -> None:
        self._bridge = bridge
        self.pending = pending
        """What the loop waits for."""

    @property
    def id(self) -> str:
        """The child's process id."""
        return self.pending.id

    def result(self) -> Any:
        """As ``ChildHandle.result``."""
        return self._bridge.call(self.pending.result)

    def cancel(self, reason: str | None = None) -> None:
        """As ``ChildHandle.cancel``."""
        self._bridge.call(lambda: self.pending.cancel(reason))

    def signal(self, name: str, payload: Any = None, *, signal_id: str | None = None) -> ProcessEvent:
        """As ``ChildHandle.signal``."""
        return self._bridge.call(lambda: self.pending.signal(name, payload, signal_id=signal_id))


class BlockingEvent:
    """A promise as a plain function sees it."""

    def __init__(self, bridge: ThreadBridge, pending: PendingEvent) -> None:
        self._bridge = bridge
        self.pending = pending
        """What the loop waits for."""

    @property
    def token(self) -> str:
        """As ``PendingEvent.token``."""
        return self.pending.token

    def result(self) -> Any:
        """As ``PendingEvent.result``."""
        return self._bridge.call(self.pending.result)
