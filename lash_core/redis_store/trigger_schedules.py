"""Schedules over Redis (``docs/contracts/triggers.md`` 4): next ticks, and their emission once in the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.errors import CorruptRecordError
from lash_core.model.trigger_occurrence import DueSchedule, FiredTick, ScheduleTick
from lash_core.redis_store.commands import Command
from lash_core.redis_store.process_listing import scored
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import time_commands, time_us
from lash_core.redis_store.trigger_codec import decode_subscription, encode_occurrence, subscription_name
from lash_core.redis_store.trigger_occurrences import RedisTriggerOccurrences, name_of


class RedisTriggerSchedules(RedisTriggerOccurrences):
    """Ticks of schedules."""

    async def due_schedules(self, limit: int = 100) -> tuple[DueSchedule, ...]:
        """Live schedules whose next tick has come, longest first; what cannot be read is left out."""
        keys = self._keys
        now_ms = await self._now_ms()
        command = ("ZRANGEBYSCORE", keys.due, "-inf", now_ms, "WITHSCORES", "LIMIT", 0, max(limit, 0))
        due = scored((await self._context.connection.read([Command(keys.due, command)]))[0])
        if not due:
            return ()
        command = ("HMGET", keys.subscriptions, *(name for name, _ in due))
        rows = (await self._context.connection.read([Command(keys.subscriptions, command)]))[0]
        found: list[DueSchedule] = []
        for (name, due_ms), row in zip(due, rows, strict=True):
            try:
                if row is not None:
                    subscription = decode_subscription(name, row, key=keys.subscriptions)
                    found.append(DueSchedule(subscription=subscription, due_ms=due_ms, now_ms=now_ms))
            except CorruptRecordError:
                continue
        return tuple(found)

    async def next_schedule_ms(self) -> tuple[int | None, int]:
        """The earliest next tick, and the server's time."""
        key = self._keys.due
        times = time_commands(self._context, key)
        replies = await self._context.connection.read([*times, Command(key, ("ZRANGE", key, 0, 0, "WITHSCORES"))])
        first = scored(replies[-1])
        return (first[0][1] if first else None), time_us(replies[: len(times)]) // 1_000

    async def schedule_due_ms(self, subscription_ids: Sequence[str]) -> tuple[int | None, ...]:
        """The next tick of each."""
        key = self._keys.due
        names = [subscription_name(one) or "" for one in subscription_ids]
        if not names:
            return ()
        scores = (await self._context.connection.read([Command(key, ("ZMSCORE", key, *names))]))[0]
        return tuple(None if score is None else int(float(score)) for score in scores)

    async def fire_tick(self, tick: ScheduleTick) -> FiredTick:
        """Emit one tick to its own subscription and move the schedule on."""
        reply = await self._run_tick(tick, tick.tick_ms)
        occurrence_id, name = tick.occurrence.occurrence_id, name_of(tick.subscription_id)
        match reply[0]:
            case "fired":
                delivery = self._delivery(occurrence_id, name, reply[2], "reserved", int(reply[1]))
                return FiredTick(outcome="fired", delivery=delivery)
            case "exists":
                delivery = None
                if reply[2]:
                    delivery = self._delivery(
                        occurrence_id,
                        name,
                        reply[2],
                        "already_reserved",
                        int(reply[1]),
                        state=reply[3],
                        reason=reply[4] or None,
                    )
                return FiredTick(outcome="exists", delivery=delivery)
            case "stale" | "early" as outcome:
                return FiredTick(outcome=outcome)
            case word:
                raise self._full(word)

    async def move_schedule(self, tick: ScheduleTick) -> bool:
        """Move a schedule on without a tick."""
        return (await self._run_tick(tick, 0))[0] == "moved"

    async def _run_tick(self, tick: ScheduleTick, tick_ms: int) -> Any:
        occurrence = tick.occurrence
        args = (
            name_of(tick.subscription_id),
            f"{tick.incarnation};{tick.revision}",
            "" if tick.due_ms is None else tick.due_ms,
            "" if tick.next_due_ms is None else tick.next_due_ms,
            tick_ms,
            name_of(occurrence.occurrence_id),
            encode_occurrence(occurrence),
            *self._limit_args(),
        )
        call = Call("fire_tick", self._script_keys(self._keys.due), args)
        return (await self._context.scripts.run([call], durable=True))[0]
