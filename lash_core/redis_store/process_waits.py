"""Waiting for events and results over Redis (contract 0, awaiter backoff; DESIGN 3.6)."""

from __future__ import annotations

import asyncio

from lash_core.errors import UnknownProcessError
from lash_core.model.event import ProcessEvent
from lash_core.model.owner import ProcessTable
from lash_core.model.record import ProcessRecord
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.done_channels import DoneChannels
from lash_core.redis_store.process_events import ProcessEvents

POLL_MS = (25, 50, 100, 200, 400, 800, 1_000)
"""Pauses between two looks while no message comes; the last one stays."""


class ProcessWaits(ProcessEvents):
    """Subscribe, look, wait: what happens between the look and the wait is heard, what is not heard is polled for."""

    def __init__(self, context: RedisContext, process_table: ProcessTable | None = None) -> None:
        super().__init__(context, process_table)
        self._done_channels = DoneChannels(context.connection)

    @property
    def done_channels(self) -> DoneChannels:
        """Subscriptions of those who wait; shared with the promises of the same stores."""
        return self._done_channels

    async def await_terminal(self, process_id: str) -> ProcessRecord:
        """Wait until the process is terminal; point read first. The caller bounds the wait.

        Raises:
            UnknownProcessError: there is no row, or it was pruned while we waited.
        """
        key = self._keys(process_id).control(process_id)
        ended = await self._ended(process_id, key)
        if ended is not None:
            return ended
        async with self._done_channels.listening(self._keys(process_id).done_channel(process_id)) as heard:
            looks = 0
            while True:
                heard.clear()
                ended = await self._ended(process_id, key)
                if ended is not None:
                    return ended
                looks = await _pause(heard, looks)

    async def wait_event_after(self, process_id: str, event_type: str, after_sequence: int) -> ProcessEvent:
        """Wait for the first event of a type strictly after a sequence, history first. The caller bounds the wait.

        Raises:
            UnknownProcessError: there is no row, or it was pruned while we waited.
        """
        seen = after_sequence
        async with self._done_channels.listening(self._keys(process_id).done_channel(process_id)) as heard:
            looks = 0
            while True:
                heard.clear()
                for event in await self.events_after(process_id, seen):
                    if event.event_type == event_type:
                        return event
                    seen = event.sequence
                looks = await _pause(heard, looks)

    async def close(self) -> None:
        """End the subscriptions. May be called twice."""
        await self._done_channels.close()

    async def _ended(self, process_id: str, key: str) -> ProcessRecord | None:
        """The row once it is terminal. A running one costs one HGET."""
        status = (await self._context.connection.read([Command(key, ("HGET", key, "st"))]))[0]
        if status == "r":
            return None
        record = None if status is None else await self._rows.read_one(process_id)
        if record is None:
            raise UnknownProcessError(process_id)
        return record if record.is_terminal else None


async def _pause(heard: asyncio.Event, looks: int) -> int:
    """Wait for a message or the next look; returns how many looks were without one."""
    try:
        async with asyncio.timeout(POLL_MS[min(looks, len(POLL_MS) - 1)] / 1_000):
            await heard.wait()
    except TimeoutError:
        return looks + 1
    return 0
