"""Notices over sharded channels: hints that make the fleet prompt (DESIGN 3.3 rule 10).

Scripts ring the channel ``T:n`` when a queue of a partition had no due row or gets one that becomes due before all
others, and ``T:to:<owner digest>`` when something happened to a leased row. A message can be lost with its connection,
so every (re)connection is told as ``resync``: read state instead. What stays bounded in the stream ``T:n`` is the
record of the last notices.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Literal, get_args

from lash_core.errors import LashError
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.lease_codec import owner_digest
from lash_core.redis_store.subscriptions import Subscriptions
from lash_core.store.process_notices import NoticeKind, ProcessNotice

HELD_MAX = 10_000
"""Notices kept for a worker that does not ask; more become one ``resync``."""

REFUSED_PAUSE_MS = 1_000
"""Pause after channels could not be had: the caller then looks by itself, and must not do so in a tight loop."""

RESYNC = ProcessNotice("resync")
_KINDS: frozenset[str] = frozenset(get_args(NoticeKind))


class RedisProcessNotices:
    """A worker's ear: ready notices of some partitions, cancels and signals for the leases it holds.

    Args:
        context: connection, keys and settings of one namespace.
        heard_due: called with partition and time when a row is told to become due before all others.
    """

    def __init__(self, context: RedisContext, heard_due: Callable[[int, int], None] | None = None) -> None:
        self._context = context
        self._heard_due = heard_due
        self._subscriptions = Subscriptions(context.connection)
        self._subscriptions.on_reconnect = self._resync
        self._wanted: dict[str, int] = {}
        self._subscribed: set[str] = set()
        self._ready_channels: set[str] = set()
        self._held: deque[ProcessNotice] = deque([RESYNC])
        self._rung = asyncio.Event()
        self._rung.set()
        self._closed = False

    def watch_partitions(self, partitions: Collection[int]) -> None:
        """Hear of ready rows and sessions of these partitions from now on, and of no others."""
        known = self._context.keyspace.partitions
        channels = {known[index].notices: index for index in partitions if 0 <= index < len(known)}
        for channel in self._ready_channels - channels.keys():
            self._wanted.pop(channel, None)
        self._ready_channels = set(channels)
        self._want(channels)

    def watch_owner(self, owner: LeaseOwnerIdentity) -> None:
        """Hear ``cancel``, ``signal`` and ``wake`` for leases of this incarnation and its attempts, everywhere."""
        digest = owner_digest(owner)
        self._want({keys.owner_channel(digest): keys.index for keys in self._context.keyspace.partitions})

    async def next(self, timeout_ms: int) -> tuple[ProcessNotice, ...]:
        """Notices since the last call, at once or within ``timeout_ms``; empty after it. Survives reconnects by itself.

        The first answer is ``resync``, as is the one after a lost connection.
        """
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await self._follow()
                if not self._held:
                    self._rung.clear()
                    await self._rung.wait()
        except TimeoutError:
            # It may have struck while channels were being subscribed to; what is held is still this answer.
            pass
        notices = tuple(dict.fromkeys(self._held))
        self._held.clear()
        return notices

    async def close(self) -> None:
        """Give the connections back. May be called twice."""
        self._closed = True
        self._rung.set()
        await self._subscriptions.close()

    def _want(self, channels: dict[str, int]) -> None:
        new = channels.keys() - self._wanted.keys()
        self._wanted.update(channels)
        if new:
            # What happened before the subscription is there must be looked for; ``next`` subscribes first.
            self._resync()

    async def _follow(self) -> None:
        """Bring the subscriptions to what is wanted. What fails is tried again by the next call."""
        if self._closed:
            return
        try:
            for channel in self._subscribed - self._wanted.keys():
                await self._subscriptions.unsubscribe(channel)
                self._subscribed.discard(channel)
            # Together: an owner is watched in every partition, and each channel is a round trip.
            await asyncio.gather(*(self._subscribe(channel) for channel in self._wanted.keys() - self._subscribed))
        except LashError:
            # Claims and renewals find everything; only promptness is lost while channels cannot be had.
            self._resync()
            await asyncio.sleep(REFUSED_PAUSE_MS / 1_000)

    async def _subscribe(self, channel: str) -> None:
        await self._subscriptions.subscribe(channel, self._hear)
        self._subscribed.add(channel)

    def _hear(self, channel: str, message: str) -> None:
        kind, _, detail = message.partition(" ")
        partition = self._wanted.get(channel, -1)
        if kind == "due" and detail.isdigit():
            if self._heard_due is not None:
                self._heard_due(partition, int(detail))
            self._hold(ProcessNotice("due", partition=partition, due_at_ms=int(detail)))
        elif kind in ("queued", "queued_due"):
            self._hear_session(kind, detail, partition)
        elif kind in _KINDS:
            # ``in`` above makes it one of the literal's values.
            self._hold(ProcessNotice(kind, detail, partition))  # pyright: ignore[reportArgumentType]

    def _hear_session(self, kind: Literal["queued", "queued_due"], detail: str, partition: int) -> None:
        due, _, session_id = detail.partition(" ") if kind == "queued_due" else ("0", "", detail)
        if not due.isdigit():
            return
        if kind == "queued_due":
            self._context.session_due.hear(partition, int(due))
        self._hold(ProcessNotice(kind, partition=partition, due_at_ms=int(due), session_id=session_id))

    def _resync(self) -> None:
        self._held.clear()
        self._hold(RESYNC)

    def _hold(self, notice: ProcessNotice) -> None:
        if len(self._held) >= HELD_MAX:
            self._held.clear()
            notice = RESYNC
        self._held.append(notice)
        self._rung.set()
