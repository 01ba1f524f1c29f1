"""The outbox's told steps, carried out: runs hear of the end of processes that they wait for."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.outbox_steps import OutboxEntry
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, still_stale
from lash_core.redis_store.row_reader import RowReader
from lash_core.redis_store.scripts import Call


class WatcherDelivery:
    """Carries out ``told`` steps. Safe to repeat: a second telling costs its watcher one look."""

    def __init__(self, context: RedisContext, rows: RowReader) -> None:
        self._context = context
        self._rows = rows

    async def carry(self, entries: Sequence[OutboxEntry]) -> None:
        """Tell every watcher that still runs, each once, then drop the steps."""
        if not entries:
            return
        waiting = list(dict.fromkeys(name for entry in entries for name in entry.fields.get("w", "").split("\n")))
        for _ in range(STALE_RETRIES_MAX):
            waiting = await self._tell([name for name in waiting if name])
            if not waiting:
                break
        else:
            raise still_stale(waiting[0])
        by_partition: dict[int, list[str]] = {}
        for entry in entries:
            by_partition.setdefault(entry.partition, []).append(entry.entry_id)
        drops = [
            Command(key, ("XDEL", key, *ids))
            for index, ids in by_partition.items()
            for key in (self._context.keyspace.partitions[index].outbox,)
        ]
        await self._context.connection.pipeline(drops)

    async def _tell(self, watcher_ids: Sequence[str]) -> list[str]:
        """Tell these; returns those whose registration was another one than the cached."""
        calls: list[Call] = []
        told: list[str] = []
        for watcher_id in watcher_ids:
            stored = await self._rows.registration(watcher_id)
            if stored is None:
                continue
            keys = self._context.keyspace.of_process(watcher_id)
            names = (keys.control(watcher_id), keys.owners, keys.marks)
            names += (keys.ready(stored.registration.queue), keys.notices)
            args = (watcher_id, stored.hash, self._context.settings.limits.notices_max, keys.owner_channel(""))
            calls.append(Call("tell_process", names, args))
            told.append(watcher_id)
        words = await self._context.scripts.run(calls, durable=True) if calls else []
        stale = [watcher_id for watcher_id, word in zip(told, words, strict=True) if word == "stale"]
        for watcher_id in stale:
            self._rows.forget(watcher_id)
        return stale
