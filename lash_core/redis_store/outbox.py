"""The outbox: steps of one partition for another one, carried out at least once (DESIGN 3.5).

The caller whose script wrote a step carries it out at once; ``deliver_outbox`` finds what a crash left.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from lash_core.errors import LashError, OutcomeUnknownError, StoreRefusedError, StoreUnreachableError
from lash_core.model.owner import ProcessTable
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.grant_delivery import GrantDelivery
from lash_core.redis_store.outbox_steps import OutboxEntry, decode_entry
from lash_core.redis_store.process_base import ProcessRegistryBase
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.wake_delivery import WakeDelivery
from lash_core.redis_store.watcher_delivery import WatcherDelivery

logger = logging.getLogger(__name__)


class ProcessOutbox(ProcessRegistryBase):
    """Carries out outbox steps."""

    def __init__(self, context: RedisContext, process_table: ProcessTable | None = None) -> None:
        super().__init__(context, process_table)
        self._grants = GrantDelivery(context)
        self._wakes = WakeDelivery(context, self._rows)
        self._watchers = WatcherDelivery(context, self._rows)

    async def deliver_outbox(self, *, min_age_ms: int, limit: int) -> int:
        """Carry out steps for other partitions that are older than ``min_age_ms``; returns how many are done.

        One that fails stays for the next call and does not hold up the others; the first failure is raised when
        nothing could be done. Safe to repeat and to run in many workers.
        """
        done = 0
        failure: LashError | None = None
        for entry in await self._leftovers(min_age_ms, limit):
            try:
                done += await self._carry_out(entry)
            except LashError as error:
                failure = failure or error
                logger.warning(
                    "an outbox step failed; it stays",
                    extra={"action": "deliver_outbox", "op": entry.op, "error": error.code},
                )
        if failure is not None and not done:
            raise failure
        return done

    async def carry_out(self, entries: Sequence[OutboxEntry], *, required: bool = True) -> None:
        """Carry out steps that this client's own script has just written.

        Args:
            entries: the steps.
            required: the caller promises that they are done when it returns; else a failure is logged and left to
                ``deliver_outbox``.

        Raises:
            OutcomeUnknownError: the store went away in between; the steps are recorded and will be carried out.
        """
        try:
            # Together: a batch of completions ends many children of one parent.
            await self._watchers.carry([entry for entry in entries if entry.op == "told"])
            for entry in entries:
                if entry.op != "told":
                    await self._carry_out(entry)
        except (StoreUnreachableError, StoreRefusedError, OutcomeUnknownError) as error:
            if not required:
                logger.warning("outbox steps are left for later", extra={"action": "carry_out", "error": error.code})
                return
            raise OutcomeUnknownError(
                f"recorded; what remains in other partitions is carried out by the outbox ({error.message})",
                process_id=error.process_id,
            ) from error

    async def _carry_out(self, entry: OutboxEntry) -> bool:
        """Carry out one step and drop it; False for a verb of a newer release, which stays."""
        match entry.op:
            case "grants":
                await self._grants.carry_grants(entry)
                return True
            case "wake":
                await self._wakes.carry(entry)
                return True
            case "told":
                await self._watchers.carry([entry])
                return True
            case "transfer":
                await self._grants.carry_transfer(entry)
            case "forget":
                await self._grants.carry_forget(entry)
            case "prune":
                await self._grants.carry_prune(entry)
            case "watch":
                await self._grants.carry_watch(entry)
            case _:
                return False
        await self._drop(entry)
        return True

    async def _drop(self, entry: OutboxEntry) -> None:
        key = self._context.keyspace.partitions[entry.partition].outbox
        await self._context.connection.execute(key, "XDEL", key, entry.entry_id)

    async def _entry(self, partition: int, entry_id: str) -> OutboxEntry | None:
        """One entry, or None when it was carried out already."""
        key = self._context.keyspace.partitions[partition].outbox
        found = (await self._context.connection.read([Command(key, ("XRANGE", key, entry_id, entry_id))]))[0]
        return None if not found else decode_entry(partition, entry_id, as_mapping(found[0][1]), key=key)

    async def _leftovers(self, min_age_ms: int, limit: int) -> list[OutboxEntry]:
        partitions = self._context.keyspace.partitions
        calls = [Call("read_outbox", (keys.outbox,), (min_age_ms, limit)) for keys in partitions]
        replies: list[Any] = await self._context.scripts.run(calls)
        found: list[OutboxEntry] = []
        for keys, reply in zip(partitions, replies, strict=True):
            for entry_id, fields in reply:
                try:
                    found.append(decode_entry(keys.index, entry_id, as_mapping(fields), key=keys.outbox))
                except LashError:
                    logger.exception("an outbox entry cannot be decoded; it stays", extra={"action": "deliver_outbox"})
        # Oldest first over all partitions: ids are times.
        found.sort(key=lambda entry: tuple(int(part) for part in entry.entry_id.split("-")))
        return found[:limit]
