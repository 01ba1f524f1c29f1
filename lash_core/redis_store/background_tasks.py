"""``BackgroundTaskStore`` over Redis: one hash a session, ``T:bt:<sid>`` (``docs/contracts/redis_layout.md``)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call
from lash_core.store.background_task_store import (
    ROWS_MAX,
    StoredTask,
    TasksChanged,
    TasksOfNoSession,
    TasksSwapped,
    TaskSwap,
    decode_row,
    encode_row,
    too_many_rows,
    with_times,
)

_STORED = re.compile(r"1;(\d+);(\d+);(\d+);[^;]*;(.*)", re.DOTALL)
_VERSION = re.compile(r"(\d+);")


class RedisBackgroundTaskStore:
    """Rows of background tasks, each in its session's partition.

    Args:
        context: one namespace.
    """

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    async def read_background_tasks(self, session_id: str) -> tuple[StoredTask, ...]:
        """See ``BackgroundTaskStore.read_background_tasks``. One round trip."""
        key = self._context.keyspace.of_session(session_id).session_tasks(session_id)
        fields = as_mapping((await self._context.connection.read([Command(key, ("HGETALL", key))]))[0])
        tasks = [_decoded(field, text, key) for field, text in fields.items()]
        return tuple(sorted(tasks, key=lambda task: (task.created_us, task.scope_key, task.row.record.id)))

    async def swap_background_tasks(
        self, session_id: str, swaps: Sequence[TaskSwap]
    ) -> TasksSwapped | TasksChanged | TasksOfNoSession:
        """See ``BackgroundTaskStore.swap_background_tasks``. One round trip; a repeat is known by its write id."""
        keys = self._context.keyspace.of_session(session_id)
        args: list[str | int] = [secrets.token_hex(8), ROWS_MAX]
        for swap in swaps:
            args += _arguments(swap)
        call = Call("swap_background_tasks", (keys.session_tasks(session_id), keys.session_head(session_id)), (*args,))
        word, *times = (await self._context.scripts.run([call], durable=True))[0]
        match word:
            case "changed":
                return TasksChanged()
            case "absent":
                return TasksOfNoSession()
            case "full":
                raise too_many_rows(session_id)
            case _:
                return TasksSwapped(tuple(map(_stored, swaps, times)))


def _arguments(swap: TaskSwap) -> tuple[str | int, ...]:
    field = f"{swap.scope_key}\n{swap.task_id}"
    if swap.row is None:
        return field, swap.revision, "kept", 0, "take" if swap.must_be_there else "drop", ""
    ended: str | int = 0
    if swap.row.record.state.is_terminal:
        ended = "now" if swap.completed_us is None else swap.completed_us
    return field, swap.revision, str(swap.created), ended, "put", encode_row(swap.row)


def _stored(swap: TaskSwap, times: str) -> StoredTask | None:
    if swap.row is None:
        return None
    created_us, revision, completed_us = map(int, times.split(";"))
    row = with_times(swap.row, created_us=created_us, revision=revision, completed_us=completed_us)
    return StoredTask(swap.scope_key, row, revision, created_us)


def _decoded(field: str, text: str, key: str) -> StoredTask:
    found = _STORED.fullmatch(text)
    scope_key, newline, _ = field.partition("\n")
    if found is None or not newline:
        version = _VERSION.match(text)
        if version is not None and int(version[1]) > 1:
            raise NewerRecordError(f"a background task has version {version[1]}", key=key)
        raise CorruptRecordError("a background task cannot be decoded", key=key)
    created_us, revision, completed_us = int(found[1]), int(found[2]), int(found[3])
    row = decode_row(found[4], key=key, created_us=created_us, revision=revision, completed_us=completed_us)
    return StoredTask(scope_key, row, revision, created_us)
