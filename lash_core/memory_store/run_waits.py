"""What a waiting run asks (``ProcessRunWaits``): its own row at one moment, its waits, the ends of others, a retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.errors import AlreadyTerminalError, TerminalProcessError
from lash_core.memory_store.detach import detached_event, detached_record
from lash_core.memory_store.leases import give_back
from lash_core.memory_store.ledger import append, prepared
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import Row, resolution_of
from lash_core.model.await_event import AwaitEventKey
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import ProcessStarted, WaitState
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.store.process_run_waits import RunLook
from lash_core.store.run_wait_bounds import WATCHERS_MAX, check_own_promises, too_many_watchers


class RunWaitOperations(RegistryPart):
    """Waits of runs, and the whole-process retry."""

    async def look_at_run(
        self, lease: ProcessLease, after_sequence: int, promises: Sequence[AwaitEventKey] = ()
    ) -> RunLook:
        """Read what may end a wait of this run, all at one moment. A stale lease may look.

        Raises:
            UnknownProcessError. InvalidArgumentError: a promise of another scope.
        """
        process_id = lease.process_id
        check_own_promises(process_id, promises)
        with self._state.lock:
            row = self._state.require(process_id)
            found = {key.key_id: resolution_of(row, key.key_id) for key in promises}
            return RunLook(
                events=tuple(detached_event(event) for event in row.events[max(after_sequence, 0) :]),
                resolutions={key_id: resolution for key_id, resolution in found.items() if resolution is not None},
                marks_seen=str(row.mark_count),
                server_time_ms=self._state.clock.now_ms(),
            )

    async def begin_signal_wait(
        self, process_id: str, wait: WaitState, *, lease: ProcessLease, first_started: ProcessStarted | None = None
    ) -> WaitState:
        """Set the wait and append ``process.waiting``; a wait that was begun before keeps its ``since_ms``."""
        request = prepared(ProcessEventAppendRequest.waiting(process_id, wait))
        with self._state.lock:
            row = self._state.require(process_id)
            stored = _stored_wait(row, request, wait)
            if stored is not None and row.record.wait == stored:
                return stored
            self._state.check_write(row, lease)
            if row.record.is_terminal:
                raise TerminalProcessError(
                    f"terminal process `{process_id}` cannot enter a wait state", process_id=process_id
                )
            now_ms = self._state.clock.now_ms()
            if stored is None:
                append(self._state, row, request, lease, now_ms)
            facts: dict[str, Any] = {"wait": stored or wait}
            if first_started is not None and row.record.first_started is None:
                facts["first_started"] = first_started
            row.accept_fenced_write()
            self._state.touch(row, updated_at_ms=now_ms, **facts)
            return stored or wait

    async def end_signal_wait(self, process_id: str, wait: WaitState, *, lease: ProcessLease, received: bool) -> None:
        """Clear the wait; when the signal was received, append ``process.resumed``. Another wait is left alone."""
        request = prepared(ProcessEventAppendRequest.resumed(process_id, wait))
        with self._state.lock:
            row = self._state.require(process_id)
            appends = received and request.replay_key not in row.replay and not row.record.is_terminal
            clears = row.record.wait is not None and row.record.wait.kind.key == wait.kind.key
            if not appends and not clears:
                return
            self._state.check_write(row, lease)
            now_ms = self._state.clock.now_ms()
            if appends:
                append(self._state, row, request, lease, now_ms)
            row.accept_fenced_write()
            self._state.touch(row, updated_at_ms=now_ms, **({"wait": None} if clears else {}))

    async def watch_processes(self, watcher_id: str, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """The rows by id, None for an unknown one; the watcher is told of the end of those that still run.

        Raises:
            LimitExceededError: too many watch one of them.
        """
        with self._state.lock:
            rows = [self._state.rows.get(process_id) for process_id in process_ids]
            for row in rows:
                if row is not None and not row.record.is_terminal and watcher_id not in row.watchers:
                    _check_watchers(row)
                    row.watchers = (*row.watchers, watcher_id)
            return tuple(None if row is None else detached_record(row.record) for row in rows)

    async def retry_process(self, lease: ProcessLease, *, delay_ms: int, drop: Sequence[str], detail: str) -> int:
        """Give the lease back so that the whole process runs again; returns the retries so far.

        A cancel that was requested makes the row due at once. The wait of the failed try is over.
        """
        with self._state.lock:
            row = self._state.require(lease.process_id)
            if row.released_token == lease.lease_token:
                return row.record.retries
            self._state.check_write(row, lease)
            if row.record.is_terminal:
                raise AlreadyTerminalError(row.record.id, row.record.status.state)
            for key in drop:
                row.drop_effect(key)
            now_ms, retries = self._state.clock.now_ms(), row.record.retries + 1
            row.accept_fenced_write()
            give_back(self._state, row)
            self._state.note(row, "retry", detail=detail, retries=retries)
            self._state.touch(row, retries=retries, wait=None, updated_at_ms=now_ms)
            due_ms = max(now_ms + max(delay_ms, 0), row.record.due_at_ms or 0)
            self._state.schedule(row, now_ms if row.record.cancel_request is not None else due_ms)
            return retries


def _check_watchers(row: Row) -> None:
    if len(row.watchers) >= WATCHERS_MAX:
        raise too_many_watchers(row.record.id)


def _stored_wait(row: Row, request: ProcessEventAppendRequest, wait: WaitState) -> WaitState | None:
    """The wait as its ``process.waiting`` event has it; None when there is none."""
    found = row.replay.get(request.replay_key or "")
    if found is None:
        return None
    match row.events[found[0] - 1].payload:
        case {"wait": {"since_ms": int() as since_ms}}:
            return wait.model_copy(update={"since_ms": since_ms})
        case _:
            return wait
