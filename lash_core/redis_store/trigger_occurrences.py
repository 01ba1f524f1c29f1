"""Occurrences, deliveries and schedules over Redis (``docs/contracts/triggers.md`` 2 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.errors import CorruptRecordError, InvalidArgumentError, OccurrenceConflictError
from lash_core.model.trigger import SUBSCRIPTION_ID_PREFIX
from lash_core.model.trigger_limits import TriggerLimits
from lash_core.model.trigger_occurrence import (
    OCCURRENCE_ID_PREFIX,
    DeliverySettlement,
    DeliveryState,
    IngestedOccurrence,
    ReservationStatus,
    TriggerDelivery,
    TriggerOccurrence,
)
from lash_core.model.trigger_schedule import SCHEDULE_SOURCE_TYPE
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import TriggerKeys
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import time_commands, time_us
from lash_core.redis_store.trigger_codec import (
    NAME_CHARACTERS,
    decode_occurrence,
    delivery_name,
    delivery_of,
    encode_occurrence,
    occurrence_name,
    source_name,
)
from lash_core.store.trigger_bounds import TRIM_MAX, too_many_bytes, too_many_waiting
from lash_core.store.trigger_store import WaitingDelivery

OCCURRENCES_A_READ = 16
"""Occurrences read at once for recovery: 4 MB when each has the largest payload."""

SETTLEMENTS_A_CALL = 500
"""Settlements of one script: about 2 ms."""

_OUTCOMES = {"started": "s", "failed": "f", "put_off": "p"}


class RedisTriggerOccurrences:
    """What happens at sources, and what follows from it.

    Args:
        context: one namespace.
        limits: what is refused and trimmed.
    """

    def __init__(self, context: RedisContext, limits: TriggerLimits | None = None) -> None:
        self._context = context
        self._keys = TriggerKeys.of(context.keyspace.namespace)
        self.limits = limits or TriggerLimits()

    async def ingest_occurrence(self, occurrence: TriggerOccurrence) -> IngestedOccurrence:
        """Store an occurrence and reserve its deliveries in one script, or answer with what is stored."""
        checked = occurrence.validated().check_size(self._context.settings.limits)
        if checked.source_type == SCHEDULE_SOURCE_TYPE:
            raise InvalidArgumentError(
                "ticks come from schedules; use a backfill to make some up", field="source_type", value="schedule"
            )
        occurrence_id = checked.occurrence_id
        name = name_of(occurrence_id)
        args = (name, source_name(checked.source_type, checked.source_key), encode_occurrence(checked))
        call = Call("ingest_occurrence", self._script_keys(self._keys.sources), (*args, *self._limit_args()))
        reply = (await self._context.scripts.run([call], durable=True))[0]
        match reply[0]:
            case "created":
                recorded_ms = int(reply[1])
                deliveries = [
                    self._delivery(occurrence_id, one, row, "reserved", recorded_ms)
                    for one, row in zip(reply[2::2], reply[3::2], strict=True)
                ]
                stored = checked.model_copy(update={"recorded_at_ms": recorded_ms})
                return IngestedOccurrence(occurrence=stored, deliveries=_ordered(deliveries), replayed=False)
            case "exists":
                return self._stored(occurrence_id, reply[1], _quads(reply[2:]))
            case "conflict":
                raise OccurrenceConflictError(checked.source_type, checked.source_key, checked.idempotency_key)
            case word:
                raise self._full(word)

    async def get_occurrence(self, occurrence_id: str) -> IngestedOccurrence | None:
        """A stored occurrence, or None. Raises: CorruptRecordError."""
        name, keys = occurrence_name(occurrence_id), self._keys
        if name is None:
            return None
        row = (await self._context.connection.read([Command(keys.occurrences, ("HGET", keys.occurrences, name))]))[0]
        if row is None:
            return None
        _, subscriptions = decode_occurrence(row, key=keys.occurrences)
        fields = [f"{name}:{one}" for one in subscriptions]
        texts, waits, reasons = await self._deliveries(fields)
        quads = [
            (one, text or "", "waiting" if wait is not None else "started" if reason is None else "failed", reason)
            for one, text, wait, reason in zip(subscriptions, texts, waits, reasons, strict=True)
        ]
        return self._stored(occurrence_id, row, quads)

    async def _deliveries(self, fields: Sequence[str]) -> tuple[list[Any], list[Any], list[Any]]:
        """Snapshot, time of waiting and reason of each; None where there is none."""
        keys = self._keys
        if not fields:
            return [], [], []
        replies = await self._context.connection.read(
            [
                Command(keys.deliveries, ("HMGET", keys.deliveries, *fields)),
                Command(keys.waiting, ("ZMSCORE", keys.waiting, *fields)),
                Command(keys.failures, ("HMGET", keys.failures, *fields)),
            ]
        )
        return replies[0], replies[1], replies[2]

    async def unstarted_deliveries(self, *, min_age_ms: int, limit: int) -> tuple[WaitingDelivery, ...]:
        """Deliveries that wait for their start, longest first."""
        keys = self._keys
        now_ms = await self._now_ms()
        until = now_ms - min_age_ms
        found: list[str] = (
            await self._context.connection.read(
                [Command(keys.waiting, ("ZRANGEBYSCORE", keys.waiting, "-inf", until, "LIMIT", 0, max(limit, 0)))]
            )
        )[0]
        texts, _, _ = await self._deliveries(found)
        occurrences = await self._occurrences(list(dict.fromkeys(field[:NAME_CHARACTERS] for field in found)))
        waiting: list[WaitingDelivery] = []
        for field, text in zip(found, texts, strict=True):
            name, _, subscription = field.partition(":")
            occurrence = occurrences.get(name)
            recorded_ms = now_ms if occurrence is None else occurrence.recorded_at_ms
            delivery = self._delivery(
                f"{OCCURRENCE_ID_PREFIX}{name}", subscription, text or "", "already_reserved", recorded_ms
            )
            waiting.append(WaitingDelivery(delivery, occurrence, now_ms - recorded_ms))
        return tuple(waiting)

    async def _occurrences(self, names: Sequence[str]) -> dict[str, TriggerOccurrence]:
        """Occurrences by name; what cannot be read is left out."""
        key = self._keys.occurrences
        found: dict[str, TriggerOccurrence] = {}
        for start in range(0, len(names), OCCURRENCES_A_READ):
            part = names[start : start + OCCURRENCES_A_READ]
            rows = (await self._context.connection.read([Command(key, ("HMGET", key, *part))]))[0]
            for name, row in zip(part, rows, strict=True):
                try:
                    if row is not None:
                        found[name] = decode_occurrence(row, key=key)[0]
                except CorruptRecordError:
                    continue
        return found

    async def failed_deliveries(self, limit: int = 50) -> tuple[TriggerDelivery, ...]:
        """Deliveries that failed for good, in no stated order."""
        keys = self._keys
        fields: dict[str, str] = {}
        cursor: Any = 0
        while len(fields) < limit:
            reply = await self._context.connection.read(
                [Command(keys.failures, ("HSCAN", keys.failures, cursor, "COUNT", limit))]
            )
            cursor, page = reply[0]
            fields.update(page if isinstance(page, dict) else zip(page[::2], page[1::2], strict=True))
            if int(cursor) == 0:
                break
        chosen = list(fields.items())[:limit]
        texts, _, _ = await self._deliveries([field for field, _ in chosen])
        return tuple(
            self._delivery(
                f"{OCCURRENCE_ID_PREFIX}{field[:NAME_CHARACTERS]}",
                field[NAME_CHARACTERS + 1 :],
                text or "",
                "already_reserved",
                0,
                state="failed",
                reason=reason,
            )
            for (field, reason), text in zip(chosen, texts, strict=True)
        )

    async def settle_deliveries(self, settlements: Sequence[DeliverySettlement]) -> None:
        """Record what became of deliveries."""
        script_keys = self._keys.of_occurrences
        for start in range(0, len(settlements), SETTLEMENTS_A_CALL):
            args: list[str | int] = []
            for one in settlements[start : start + SETTLEMENTS_A_CALL]:
                field = delivery_name(one.occurrence_id, one.subscription_id)
                if field is not None:
                    text = one.delay_ms if one.outcome == "put_off" else one.reason
                    args += [field, _OUTCOMES[one.outcome], text]
            if args:
                await self._context.scripts.run([Call("settle_deliveries", script_keys, tuple(args))])

    async def drop_deliveries(self, occurrence_subscriptions: Sequence[tuple[str, str]]) -> int:
        """Forget settled deliveries; returns how many."""
        names = (delivery_name(*pair) for pair in occurrence_subscriptions)
        args = tuple(name for name in names if name is not None)
        dropped = 0
        for start in range(0, len(args), SETTLEMENTS_A_CALL):
            part = args[start : start + SETTLEMENTS_A_CALL]
            call = Call("drop_deliveries", self._keys.of_occurrences, part)
            dropped += (await self._context.scripts.run([call]))[0]
        return dropped

    async def prune_occurrences(self, cutoff_ms: int, limit: int = 1_000) -> int:
        """Forget settled occurrences recorded before the cutoff; returns how many."""
        call = Call("prune_occurrences", self._keys.of_occurrences, (cutoff_ms, max(limit, 0)))
        return (await self._context.scripts.run([call]))[0]

    # -- shared ---------------------------------------------------------------------------------------------------

    def _script_keys(self, second: str) -> tuple[str, ...]:
        return (self._keys.subscriptions, second, *self._keys.of_occurrences)

    def _limit_args(self) -> tuple[int, ...]:
        limits = self.limits
        return (
            limits.occurrences_max,
            limits.occurrence_bytes_max,
            limits.unstarted_max,
            limits.unstarted_bytes_max,
            TRIM_MAX,
        )

    def _full(self, word: str) -> Exception:
        if word == "waiting":
            return too_many_waiting(self.limits.unstarted_max)
        return too_many_bytes(self.limits.unstarted_bytes_max)

    async def _now_ms(self) -> int:
        return time_us(await self._context.connection.read(time_commands(self._context, self._keys.waiting))) // 1_000

    def _delivery(
        self,
        occurrence_id: str,
        name: str,
        row: str,
        status: ReservationStatus,
        reserved_ms: int,
        *,
        state: DeliveryState = "waiting",
        reason: str | None = None,
    ) -> TriggerDelivery:
        return delivery_of(
            occurrence_id,
            name,
            row,
            key=self._keys.deliveries,
            status=status,
            state=state,
            reason=reason,
            reserved_at_ms=reserved_ms,
        )

    def _stored(self, occurrence_id: str, row: str, quads: Sequence[Sequence[Any]]) -> IngestedOccurrence:
        """A stored occurrence. Deliveries whose processes were pruned are gone from it."""
        occurrence, _ = decode_occurrence(row, key=self._keys.occurrences)
        deliveries = [
            self._delivery(
                occurrence_id,
                name,
                text,
                "already_reserved",
                occurrence.recorded_at_ms,
                state=state,
                reason=reason or None,
            )
            for name, text, state, reason in quads
            if text
        ]
        return IngestedOccurrence(occurrence=occurrence, deliveries=_ordered(deliveries), replayed=True)


def name_of(checked_id: str) -> str:
    """The hex of an id that this program made."""
    return checked_id.removeprefix(OCCURRENCE_ID_PREFIX).removeprefix(SUBSCRIPTION_ID_PREFIX)


def _quads(flat: Sequence[Any]) -> list[Sequence[Any]]:
    return [flat[at : at + 4] for at in range(0, len(flat), 4)]


def _ordered(deliveries: list[TriggerDelivery]) -> tuple[TriggerDelivery, ...]:
    return tuple(sorted(deliveries, key=lambda delivery: delivery.subscription_id))
