"""How a host changes tasks: under their scope's lock, saved before anybody sees it, told after.

``docs/contracts/background_tasks.md`` 3. The verbs are in ``local_host``; ``durable_host`` saves to a store.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import weakref
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from lash_core.clock import Clock, SystemClock
from lash_core.errors import LashError
from lash_core.errors.background_task import BackgroundTaskEndedError, BackgroundTaskError, UnknownBackgroundTaskError
from lash_core.model import background_task_rules as rules
from lash_core.model.background_task import (
    BackgroundTaskEvent,
    BackgroundTaskOutcome,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskState,
    CancelPolicy,
    ClosePolicy,
    TaskRegistered,
    TaskTransferred,
)
from lash_core.runtime.background.hidden_tasks import HiddenTasks, discard_work
from lash_core.runtime.background.left_scopes import LeftScopes
from lash_core.runtime.background.scope_keys import session_of
from lash_core.runtime.background.task_host import BackgroundTask, TaskCancelCallback
from lash_core.runtime.background.task_subscriptions import TaskSubscriptions
from lash_core.runtime.background.task_table import LIVE_TASKS_MAX, TaskChange, TaskEntry, TaskTable
from lash_core.runtime.failure_texts import text_of

FAILURE_TEXT_MAX = 2_000
"""Characters of an exception's text that a record keeps."""
CANCEL_CALLBACK_TIMEOUT_MS = 30_000
"""What stops work elsewhere is waited for this long; the task counts as cancelled already."""
CLOSE_TIMEOUT_MS = 5_000
"""Cancelled work is given this long to clean up when its scope is closed."""
EXIT_SAVES_MAX = 10
EXIT_SAVE_DELAY_MS = 100
EXIT_SAVE_DELAY_MAX_MS = 5_000
"""The end of a task's work is saved again for half a minute when the store fails; then it is only known here."""

_log = logging.getLogger(__name__)


class TaskKeeping:
    """The tasks of many scopes and how they change. The base of hosts; belongs to one event loop.

    Args:
        clock: for the times in records.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._table = TaskTable()
        self._hidden = HiddenTasks()
        self._subscriptions = TaskSubscriptions()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._runs: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._left = LeftScopes()
        self._closing = False

    # -- what a durable host does otherwise ------------------------------------------------------------

    async def _save(self, changes: Sequence[TaskChange]) -> None:
        """Make changes, all or none: here they are in memory, and cannot fail."""
        for change in changes:
            self._table.apply(change)

    # -- changes, under the lock of their scope --------------------------------------------------------

    @asynccontextmanager
    async def _locked(self, *scope_keys: str) -> AsyncGenerator[None]:
        """Change these scopes alone. Taken in one order, so that two moves never wait for each other."""
        held: list[asyncio.Lock] = []
        try:
            for scope_key in sorted(set(scope_keys)):
                lock = self._locks.get(scope_key)
                if lock is None:
                    lock = self._locks[scope_key] = asyncio.Lock()
                await lock.acquire()
                held.append(lock)
            yield
        finally:
            for lock in held:
                lock.release()

    def _publish(self, scope_key: str, *events: BackgroundTaskEvent) -> None:
        self._subscriptions.publish(scope_key, *events)

    def _live(self, scope_key: str, task_id: str) -> TaskEntry:
        entry = self._table.get(scope_key, task_id)
        if entry is None:
            raise UnknownBackgroundTaskError(task_id)
        if entry.record.state.is_terminal:
            raise BackgroundTaskEndedError(task_id, entry.record.state.value)
        return entry

    async def _begin(
        self,
        scope_key: str,
        spec: BackgroundTaskRegistration,
        state: BackgroundTaskState,
        *,
        taken: str,
        cancel: TaskCancelCallback | None = None,
        managed: bool = False,
        cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE,
        close_policy: ClosePolicy = ClosePolicy.KEEP,
    ) -> TaskEntry:
        """Note a new task; ``taken`` says what is wrong with a live one of its id."""
        rules.check_registration(spec)
        there = self._table.get(scope_key, spec.id)
        if there is not None and not there.record.state.is_terminal:
            raise BackgroundTaskError(taken, field="id", value=spec.id)
        if len(self._table.live(scope_key)) >= LIVE_TASKS_MAX:
            raise BackgroundTaskError(
                f"session `{session_of(scope_key)}` has {LIVE_TASKS_MAX} live background tasks; that is the limit",
                field="id",
                value=spec.id,
                limit=LIVE_TASKS_MAX,
            )
        record = rules.new_record(
            spec,
            session_of(scope_key),
            state,
            self._clock.now_ms(),
            cancel_policy=cancel_policy,
            close_policy=close_policy,
        )
        self._left.discard(scope_key)
        entry = TaskEntry(scope_key, record, managed, cancel=cancel, revision=0 if there is None else there.revision)
        await self._save([TaskChange(entry, record, scope_key)])
        self._publish(scope_key, TaskRegistered(entry.record))
        return entry

    async def _change(self, entry: TaskEntry, state: BackgroundTaskState) -> None:
        record = rules.in_state(entry.record, state, self._clock.now_ms())
        await self._save([TaskChange(entry, record, entry.scope_key)])

    async def _end(self, entry: TaskEntry, state: BackgroundTaskState, outcome: BackgroundTaskOutcome | None) -> None:
        """End a live task; whoever calls tells of it. Its callback is not called any more."""
        record = rules.ended(entry.record, state, outcome, self._clock.now_ms())
        changes = [TaskChange(entry, record, entry.scope_key)]
        changes += [TaskChange(old, None, old.scope_key) for old in self._table.surplus(entry.scope_key)]
        await self._save(changes)
        entry.cancel = None

    async def _move(self, entries: Sequence[TaskEntry], to_scope: str) -> None:
        """Move tasks to another scope, all or none, and tell both."""
        session_id, now_ms = session_of(to_scope), self._clock.now_ms()
        froms = [entry.scope_key for entry in entries]
        await self._save([TaskChange(e, rules.moved(e.record, session_id, now_ms), to_scope) for e in entries])
        for entry, from_scope in zip(entries, froms, strict=True):
            event = TaskTransferred(entry.record.id, entry.record.scope)
            self._publish(from_scope, event)
            self._publish(to_scope, event)

    async def _stop(self, entry: TaskEntry, callback: TaskCancelCallback | None) -> None:
        """Call the callback of a task that was cancelled, and then tell of it; who stops waiting stops neither."""
        if callback is None:
            self._publish(entry.scope_key, rules.end_event(entry.record))
            return
        call = asyncio.create_task(self._called(entry.scope_key, entry.record, callback))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        await asyncio.shield(call)

    async def _called(self, scope_key: str, record: BackgroundTaskRecord, callback: TaskCancelCallback) -> None:
        try:
            await _call_cancel(record.id, callback)
        finally:
            self._publish(scope_key, rules.end_event(record))

    # -- scopes whose runtime went away ----------------------------------------------------------------

    def _leave(self, scope_key: str) -> None:
        if not self._table.entries(scope_key):
            self._left.discard(scope_key)
            return
        forgotten = self._left.add(scope_key)
        for entry in () if forgotten is None else self._table.entries(forgotten):
            self._table.apply(TaskChange(entry, None, entry.scope_key))

    # -- managed work ----------------------------------------------------------------------------------

    def _start(self, entry: TaskEntry, work: BackgroundTask) -> None:
        run = asyncio.create_task(self._run(entry, work), name=f"background {entry.record.id}")
        entry.run = run
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        # Work that is cancelled before its first step is let go of here.
        run.add_done_callback(lambda _: discard_work(work))

    async def _run(self, entry: TaskEntry, work: BackgroundTask) -> None:
        state, outcome = BackgroundTaskState.COMPLETED, None
        try:
            value = await (work() if callable(work) else work)
            text = value.encode(errors="backslashreplace") if isinstance(value, str) else None
            if text is not None and len(text) <= rules.SUMMARY_BYTES_MAX:
                outcome = BackgroundTaskOutcome(text.decode())
        except asyncio.CancelledError:
            if self._closing:
                # The program ends: a row stays as it is, and whoever adopts it says that its owner was lost.
                raise
            state = BackgroundTaskState.CANCELLED
        except Exception as error:  # noqa: BLE001 - whatever an app's code raises is how its task ended
            state = BackgroundTaskState.FAILED
            outcome = BackgroundTaskOutcome(text_of(error)[:FAILURE_TEXT_MAX])
        await self._exited(entry, state, outcome)

    async def _exited(
        self, entry: TaskEntry, state: BackgroundTaskState, outcome: BackgroundTaskOutcome | None
    ) -> None:
        """The work is over: end its record, wherever it is by now, unless somebody was first."""
        delay_ms = EXIT_SAVE_DELAY_MS
        # Who cancels work that nobody else ended is the end of its program: that is not held up.
        for _ in range(1 if state is BackgroundTaskState.CANCELLED else EXIT_SAVES_MAX):
            try:
                await self._end_exited(entry, state, outcome)
            except UnknownBackgroundTaskError:
                # It is another runtime's by now, which has said how it ended.
                return
            except (LashError, OSError):
                _log.warning("the end of background task %s is not saved yet", entry.record.id, exc_info=True)
                await asyncio.sleep(delay_ms / 1_000)
                delay_ms = min(delay_ms * 2, EXIT_SAVE_DELAY_MAX_MS)
            else:
                return
        if self._table.has(entry) and not entry.record.state.is_terminal:
            entry.record = rules.ended(entry.record, state, outcome, self._clock.now_ms())
            self._publish(entry.scope_key, rules.end_event(entry.record))

    async def _end_exited(
        self, entry: TaskEntry, state: BackgroundTaskState, outcome: BackgroundTaskOutcome | None
    ) -> None:
        while True:
            scope_key = entry.scope_key
            async with self._locked(scope_key):
                if entry.scope_key != scope_key:
                    continue  # It was moved while this waited for the lock.
                if self._table.has(entry) and not entry.record.state.is_terminal:
                    await self._end(entry, state, outcome)
                    self._publish(scope_key, rules.end_event(entry.record))
                return


def cancel_run(run: asyncio.Task[None] | None) -> None:
    """Cancel work once: another cancel would come into what it does to clean up."""
    if run is not None and not run.cancelling():
        run.cancel()


async def _call_cancel(task_id: str, callback: TaskCancelCallback) -> None:
    """Call a callback that was taken from its task, for 30 s at most; what goes wrong is logged."""
    try:
        async with asyncio.timeout(CANCEL_CALLBACK_TIMEOUT_MS / 1_000):
            answer = callback()
            if inspect.isawaitable(answer):
                await answer
    except Exception:  # noqa: BLE001 - the task is cancelled whatever its callback says
        _log.warning("the cancel callback of background task %s failed", task_id, exc_info=True)
