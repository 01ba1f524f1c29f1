"""Background tasks of one program: nothing of them survives it (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from lash_core.errors import LashError
from lash_core.errors.background_task import BackgroundTaskError, UnknownBackgroundTaskError
from lash_core.model import background_task_rules as rules
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskEvent,
    BackgroundTaskFilter,
    BackgroundTaskOutcome,
    BackgroundTaskRecord,
    BackgroundTaskRegistration,
    BackgroundTaskScope,
    BackgroundTaskState,
    BackgroundTaskUpdate,
    CancelPolicy,
    ClosePolicy,
    TaskCancelRequested,
    TaskProgress,
    TaskStateChanged,
)
from lash_core.runtime.background.hidden_tasks import discard_work
from lash_core.runtime.background.scope_keys import session_of, sibling_scope
from lash_core.runtime.background.task_host import BackgroundTask, TaskCancelCallback
from lash_core.runtime.background.task_keeping import CLOSE_TIMEOUT_MS, TaskKeeping, cancel_run
from lash_core.runtime.background.task_table import TaskChange, TaskEntry

_IF_KNOWN = contextlib.suppress(UnknownBackgroundTaskError)
"""A task may turn out to be another runtime's by now: what changes nothing of unknown tasks changes nothing then."""

_log = logging.getLogger(__name__)


class LocalBackgroundTaskHost(TaskKeeping):
    """``BackgroundTaskHost`` in memory, for many runtimes. Belongs to one event loop.

    What each verb does stands at ``BackgroundTaskHost``.
    """

    # -- hidden ----------------------------------------------------------------------------------------

    async def spawn_hidden(self, scope_key: str, label: str, task: BackgroundTask) -> None:
        """See ``BackgroundTaskHost.spawn_hidden``. Raises: BackgroundTaskError: 10,000 were not awaited."""
        self._hidden.spawn(scope_key, label, task)

    async def await_hidden(self, scope_key: str) -> None:
        """See ``BackgroundTaskHost.await_hidden``."""
        await self._hidden.await_all(scope_key)

    # -- managed ---------------------------------------------------------------------------------------

    async def spawn_managed(
        self,
        scope_key: str,
        spec: BackgroundTaskRegistration,
        task: BackgroundTask,
        *,
        cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE,
        close_policy: ClosePolicy = ClosePolicy.KEEP,
    ) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.spawn_managed``. A task whose record cannot be saved is not started."""
        try:
            async with self._locked(scope_key):
                entry = await self._begin(
                    scope_key,
                    spec,
                    BackgroundTaskState.RUNNING,
                    taken=f"managed session task `{spec.id}` is already running",
                    managed=True,
                    cancel_policy=cancel_policy,
                    close_policy=close_policy,
                )
                self._start(entry, task)
                return entry.record
        except BaseException:
            discard_work(task)
            raise

    async def cancel_managed(self, scope_key: str, task_id: str) -> None:
        """See ``BackgroundTaskHost.cancel_managed``. Answers when the callback did, at most 30 s later."""
        async with self._locked(scope_key):
            entry = self._table.get(scope_key, task_id)
            if entry is None or entry.record.state.is_terminal:
                return
            callback = entry.cancel
            try:
                await self._end(entry, BackgroundTaskState.CANCELLED, None)
            except UnknownBackgroundTaskError:
                # It is another runtime's by now, as its host just learned: here it is unknown.
                return
            run, entry.run = entry.run, None
        if entry.record.cancel_policy is not CancelPolicy.EXTERNAL:
            cancel_run(run)
        await self._stop(entry, callback)

    # -- external --------------------------------------------------------------------------------------

    async def register_external(
        self, scope_key: str, spec: BackgroundTaskRegistration, cancel: TaskCancelCallback | None = None
    ) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.register_external``."""
        async with self._locked(scope_key):
            taken = f"background task `{spec.id}` is already registered"
            return (await self._begin(scope_key, spec, BackgroundTaskState.RUNNING, taken=taken, cancel=cancel)).record

    async def register(
        self,
        scope_key: str,
        spec: BackgroundTaskRegistration,
        *,
        cancel_policy: CancelPolicy = CancelPolicy.COOPERATIVE,
        close_policy: ClosePolicy = ClosePolicy.KEEP,
        cancel: TaskCancelCallback | None = None,
    ) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.register``."""
        async with self._locked(scope_key):
            entry = await self._begin(
                scope_key,
                spec,
                BackgroundTaskState.PENDING,
                taken=f"background task `{spec.id}` is already registered",
                cancel=cancel,
                cancel_policy=cancel_policy,
                close_policy=close_policy,
            )
            return entry.record

    async def unregister_external(self, scope_key: str, task_id: str) -> None:
        """See ``BackgroundTaskHost.unregister_external``. A task that runs here stays: it is to be cancelled."""
        async with self._locked(scope_key):
            entry = self._table.get(scope_key, task_id)
            with _IF_KNOWN:
                if entry is not None and entry.run is None:
                    await self._save([TaskChange(entry, None, scope_key)])

    # -- both ------------------------------------------------------------------------------------------

    async def update(self, scope_key: str, task_id: str, update: BackgroundTaskUpdate) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.update``. A terminal state ends the task, with the event of its end too."""
        rules.check_progress(update.progress)
        async with self._locked(scope_key):
            return await self._update(scope_key, task_id, update)

    async def complete(
        self, scope_key: str, task_id: str, completion: BackgroundTaskCompletion
    ) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.complete``."""
        rules.check_completion(completion)
        async with self._locked(scope_key):
            entry = self._live(scope_key, task_id)
            outcome = None if completion.summary is None else BackgroundTaskOutcome(completion.summary)
            await self._end(entry, completion.state, outcome)
            self._publish(scope_key, rules.end_event(entry.record))
            return entry.record

    async def request_cancel(self, scope_key: str, task_id: str, reason: str | None) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.request_cancel``."""
        asked = BackgroundTaskUpdate(state=BackgroundTaskState.CANCEL_REQUESTED)
        async with self._locked(scope_key):
            record = await self._update(scope_key, task_id, asked)
            self._publish(scope_key, TaskCancelRequested(task_id, reason))
            return record

    async def mark_terminal(self, scope_key: str, task_id: str, state: BackgroundTaskState) -> None:
        """See ``BackgroundTaskHost.mark_terminal``. Raises: BackgroundTaskError: a word that is no state."""
        state = rules.word_of(BackgroundTaskState, state, "state")
        async with self._locked(scope_key):
            entry = self._table.get(scope_key, task_id)
            if state.is_terminal and entry is not None and not entry.record.state.is_terminal:
                with _IF_KNOWN:
                    await self._end(entry, state, None)
                    self._publish(scope_key, rules.end_event(entry.record))

    async def mark_live(self, scope_key: str, task_id: str, state: BackgroundTaskState) -> None:
        """See ``BackgroundTaskHost.mark_live``. Raises: BackgroundTaskError: a word that is no state."""
        state = rules.word_of(BackgroundTaskState, state, "state")
        async with self._locked(scope_key):
            entry = self._table.get(scope_key, task_id)
            if state in rules.LIVE_STATES and entry is not None and not entry.record.state.is_terminal:
                with _IF_KNOWN:
                    await self._change(entry, state)
                    self._publish(scope_key, TaskStateChanged(task_id, state))

    mark_live_state = mark_live
    """The same, by the name that upstream gives it."""

    async def get_managed(self, scope_key: str, task_id: str) -> BackgroundTaskRecord | None:
        """See ``BackgroundTaskHost.get_managed``."""
        entry = self._table.get(scope_key, task_id)
        return None if entry is None else entry.record

    async def list_managed(self, scope_key: str) -> tuple[BackgroundTaskRecord, ...]:
        """See ``BackgroundTaskHost.list_managed``."""
        return tuple(entry.record for entry in self._table.entries(scope_key))

    async def list(self, scope_key: str, filter: BackgroundTaskFilter) -> tuple[BackgroundTaskRecord, ...]:
        """See ``BackgroundTaskHost.list``."""
        return tuple(record for record in await self.list_managed(scope_key) if rules.listed(record, filter))

    def subscribe(self, scope_key: str, filter: BackgroundTaskFilter) -> AsyncIterator[BackgroundTaskEvent]:
        """See ``BackgroundTaskHost.subscribe``."""
        return self._subscriptions.subscribe(scope_key, filter)

    # -- moves -----------------------------------------------------------------------------------------

    async def transfer_managed(self, from_scope: str, to_scope: str, task_ids: Sequence[str]) -> None:
        """See ``BackgroundTaskHost.transfer_managed``."""
        if from_scope == to_scope or not task_ids:
            return
        async with self._locked(from_scope, to_scope):
            for task_id in task_ids:
                there = self._table.get(to_scope, task_id)
                if there is not None and not there.record.state.is_terminal:
                    raise BackgroundTaskError(
                        f"background task `{task_id}` already exists in successor session",
                        field="task_ids",
                        value=task_id,
                    )
            asked = [self._table.get(from_scope, task_id) for task_id in dict.fromkeys(task_ids)]
            await self._move([entry for entry in asked if entry is not None], to_scope)

    async def transfer(self, scope_key: str, task_id: str, scope: BackgroundTaskScope) -> BackgroundTaskRecord:
        """See ``BackgroundTaskHost.transfer``. Raises too: the target has a live task of this id."""
        if self._table.get(scope_key, task_id) is None:
            raise UnknownBackgroundTaskError(task_id)
        to_scope = sibling_scope(scope_key, scope.session_id)
        await self.transfer_managed(scope_key, to_scope, [task_id])
        moved = self._table.get(to_scope, task_id)
        if moved is None:
            raise UnknownBackgroundTaskError(task_id)
        return moved.record

    async def adopt(self, scope_key: str, generation: int) -> tuple[BackgroundTaskRecord, ...]:
        """Take over what runtimes of the session that went away left here; what others have stays theirs."""
        del generation
        self._left.discard(scope_key)
        taken: list[BackgroundTaskRecord] = []
        for left in self._left.of_session(session_of(scope_key)):
            async with self._locked(left, scope_key):
                entries = [entry for entry in self._table.entries(left) if not self._is_taken(scope_key, entry)]
                await self._move(entries, scope_key)
                taken += [entry.record for entry in entries]
                self._leave(left)
        return tuple(taken)

    # -- the end ---------------------------------------------------------------------------------------

    def leave_scope(self, scope_key: str) -> None:
        """See ``BackgroundTaskHost.leave_scope``."""
        self._leave(scope_key)

    async def close_scope(self, scope_key: str) -> None:
        """See ``BackgroundTaskHost.close_scope``. Hidden tasks are cancelled; cancelled work has 5 s to clean up.

        Work stops also where the store fails: then whoever adopts its row says that its owner was lost.
        """
        self._leave(scope_key)
        stopped = list(self._hidden.cancel_all(scope_key))
        for entry in self._table.live(scope_key):
            if entry.record.close_policy is ClosePolicy.CANCEL:
                run = entry.run
                try:
                    await self.cancel_managed(scope_key, entry.record.id)
                except (LashError, OSError):
                    _log.warning("the end of background task %s is not saved", entry.record.id, exc_info=True)
                    if entry.record.cancel_policy is not CancelPolicy.EXTERNAL:
                        cancel_run(run)
                if run is not None:
                    stopped.append(run)
        self._subscriptions.close_scope(scope_key)
        await _settled(stopped)

    async def close(self) -> None:
        """The program ends: hidden and managed work is cancelled, whatever its policy. May be called twice."""
        self._closing = True
        stopped: list[asyncio.Task[object]] = [*self._runs, *self._calls]
        for run in self._runs:
            cancel_run(run)
        for scope_key in self._hidden.scope_keys:
            stopped.extend(self._hidden.cancel_all(scope_key))
        self._subscriptions.close()
        await _settled(stopped)

    # -- inside ----------------------------------------------------------------------------------------

    def _is_taken(self, scope_key: str, entry: TaskEntry) -> bool:
        """True when the scope has a live task of the entry's id, which an entry that comes would hide."""
        there = self._table.get(scope_key, entry.record.id)
        return there is not None and (entry.record.state.is_terminal or not there.record.state.is_terminal)

    async def _update(self, scope_key: str, task_id: str, update: BackgroundTaskUpdate) -> BackgroundTaskRecord:
        entry = self._live(scope_key, task_id)
        state = update.state or entry.record.state
        if state.is_terminal:
            await self._end(entry, state, None)
        else:
            await self._change(entry, state)
        if update.progress is not None:
            self._publish(scope_key, TaskProgress(task_id, update.progress))
        self._publish(scope_key, TaskStateChanged(task_id, state))
        if state.is_terminal:
            self._publish(scope_key, rules.end_event(entry.record))
        return entry.record


async def _settled(stopped: Sequence[asyncio.Task[object]]) -> None:
    current = asyncio.current_task()
    if waited := [task for task in stopped if task is not current]:
        await asyncio.wait(waited, timeout=CLOSE_TIMEOUT_MS / 1_000)
