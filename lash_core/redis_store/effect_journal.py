"""The journal of effects over Redis (``docs/contracts/effects.md``, decision 18).

The journal of a process is one hash, written under its run's fence: a call is one script and one fenced write, however
many entries it has. Scopes without a lease are in ``scope_journal.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import LimitExceededError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.event_codec import byte_size
from lash_core.redis_store.fenced_writes import FencedWrite
from lash_core.redis_store.journal_codec import (
    BLOB_BYTES_MIN,
    BLOB_TAIL,
    STATE_LETTERS,
    StoredEntry,
    decode_entry,
    effect_head,
    journal_field,
    journal_key,
    record_of,
)
from lash_core.redis_store.outbox_steps import OutboxEntry
from lash_core.redis_store.outbox_steps import decode_entry as decode_step
from lash_core.redis_store.process_base import lease_answer
from lash_core.redis_store.process_children import ProcessChildren, StartedChild, started_outcome
from lash_core.redis_store.row_codec import encode_first_started
from lash_core.redis_store.scope_journal import ScopeJournal
from lash_core.redis_store.scripts import Call

PAGE = 2_000
"""Entries of one HSCAN step: a usual journal comes in one round trip, a long one blocks the server for 1 ms a page."""

BLOBS_A_READ = 32
"""Blobs of one HMGET: at most 8 MB."""

CALL_BYTES_MAX = 4 * 1024 * 1024
"""Outcomes of one script call; more are written in several calls."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One write as the script takes it."""

    write: EffectWrite
    field: str
    args: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class _Found:
    """The script's answer about one item. ``entry``: what was stored before; ``detail``: due time or outbox id."""

    item: _Item
    flag: str
    detail: str
    entry: StoredEntry | None


class RedisEffectJournal(ScopeJournal):
    """``EffectJournal`` over Redis.

    Args:
        context: connection, scripts, keys and settings of one namespace.
        children: starts recorded children; the registry of the same stores.
    """

    def __init__(self, context: RedisContext, children: ProcessChildren) -> None:
        super().__init__(context)
        self._children = children

    def durability_tier(self) -> DurabilityTier:
        """Durable: journals survive this OS process."""
        return DurabilityTier.DURABLE

    async def load_effects(self, process_id: str) -> Mapping[str, EffectRecord]:
        """Every entry of a process by replay key; empty for an unknown process. One round trip for 2,000 entries.

        Raises:
            CorruptRecordError: an entry cannot be decoded.
        """
        key = self._context.keyspace.of_process(process_id).journal(process_id)
        texts: dict[str, str] = {}
        cursor = "0"
        while True:
            # A scan ends by the server's promise; an entry that changes meanwhile is read in one of its states.
            scan = ("HSCAN", key, cursor, "COUNT", PAGE)
            cursor, flat = (await self._context.connection.read([Command(key, scan)]))[0]
            texts.update(zip(flat[::2], flat[1::2], strict=True))
            if str(cursor) == "0":
                break
        found: dict[str, EffectRecord] = {}
        blobs: list[str] = []
        for field, text in texts.items():
            replay_key = journal_key(process_id, field)
            entry = decode_entry(replay_key, text, key=key)
            if entry.in_blob:
                blobs.append(field)
            found[replay_key] = entry.record
        for start in range(0, len(blobs), BLOBS_A_READ):
            fields = blobs[start : start + BLOBS_A_READ]
            for field, blob in zip(fields, await self._blobs(process_id, fields), strict=True):
                replay_key = journal_key(process_id, field)
                found[replay_key] = decode_entry(replay_key, texts[field], key=key, blob=blob).record
        return found

    async def record_effects(
        self, lease: ProcessLease, writes: Sequence[EffectWrite], *, first_started: ProcessStarted | None = None
    ) -> tuple[EffectAnswer, ...]:
        """Write entries of one process in one fenced unit; one answer per write, in order. Safe to repeat.

        Over ``Limits.batch_max`` writes, or over 4 MB, are several units, in order. What is stored is answered before
        the lease is looked at. A child start is carried out before the call returns.

        Raises:
            UnknownProcessError, LeaseLostError, StoreBehindError: nothing was written.
            LimitExceededError: the journal is full (``field`` is ``journal_entries`` or ``journal_bytes``), or one
                outcome is over the payload limit. InvalidRegistrationError: a child start's registration.
            OutcomeUnknownError: recorded; child starts are carried out by the outbox.
        """
        items = [await self._item(lease.process_id, write) for write in writes]
        answers: list[EffectAnswer] = []
        for part in _parts(items, self._context.settings.limits.batch_max):
            now_ms, found = await self._record(lease, part, first_started)
            answers += await self._answers(lease.process_id, now_ms, found)
        return tuple(answers)

    async def _item(self, process_id: str, write: EffectWrite) -> _Item:
        field, outcome, extra = journal_field(process_id, write.key), write.outcome_json or "", ""
        size = byte_size(outcome)
        self._context.settings.limits.check_payload_size(size, field="outcome", process_id=process_id)
        if write.start is not None:
            extra = await self._children.child_step(process_id, field, write.start)
            size += byte_size(extra)
        elif size > BLOB_BYTES_MIN:
            extra = BLOB_TAIL
        delay = "" if write.delay_ms is None else str(write.delay_ms)
        args = (field, STATE_LETTERS[write.state], effect_head(write), delay, write.digests, outcome, extra)
        return _Item(write, field, args, size)

    async def _record(
        self, lease: ProcessLease, items: Sequence[_Item], first_started: ProcessStarted | None
    ) -> tuple[int, list[_Found]]:
        process_id = lease.process_id
        keys, limits = self._context.keyspace.of_process(process_id), self._context.settings.limits
        started: list[str] = []
        if first_started is not None:
            started = [part for pair in encode_first_started(first_started).items() for part in pair]
        script_keys = (
            *(keys.control(process_id), keys.owners, keys.leases, keys.changes, keys.meta),
            *(keys.journal(process_id), keys.blobs(process_id), keys.outbox),
        )
        async with self._context.writes.write(lease) as write:
            args: list[str | int] = [process_id, *write.args, limits.journal_entries_max, limits.journal_bytes_max]
            args += [len(started), *started]
            for item in items:
                args += item.args
            call = Call("record_effects", script_keys, tuple(args))
            reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
            self._check(process_id, reply, write)
            write.acknowledge(int(reply[2]))
        found: list[_Found] = []
        for item, flag, value, blob in zip(items, reply[3::3], reply[4::3], reply[5::3], strict=True):
            entry = None
            if flag != "n":
                entry = decode_entry(item.write.key, value, key=keys.journal(process_id), blob=blob or None)
            found.append(_Found(item, flag, value, entry))
        return int(reply[1]), found

    def _check(self, process_id: str, reply: Sequence[Any], write: FencedWrite) -> None:
        word, detail = reply[0], reply[1] if len(reply) > 1 else None
        if word == "limit":
            limits = self._context.settings.limits
            limit = limits.journal_entries_max if detail == "journal_entries" else limits.journal_bytes_max
            raise LimitExceededError(
                f"process `{process_id}` would pass the limit of its journal: {detail} {limit}",
                field=str(detail),
                limit=limit,
                process_id=process_id,
            )
        error = lease_answer(process_id, str(word), detail, acknowledged=int(write.args[2] or 0))
        if error is not None:
            raise error

    async def _answers(self, process_id: str, now_ms: int, found: Sequence[_Found]) -> list[EffectAnswer]:
        """Answers of one call; child starts are carried out."""
        keys = self._context.keyspace.of_process(process_id)
        new = [one for one in found if one.flag == "n" and one.item.write.state == "starting"]
        steps: list[OutboxEntry] = [
            decode_step(keys.index, one.detail, {"o": one.item.args[-1]}, key=keys.outbox) for one in new
        ]
        started = await self._children.start_children(steps) if steps else {}
        answers: list[EffectAnswer] = []
        for one in found:
            entry = one.entry
            if entry is None:
                answers.append(EffectAnswer(_written(one, started), now_ms))
                continue
            record = entry.record
            if record.state == "starting" and one.flag == "r":
                record = await self._finished(process_id, one, entry.tail)
            answers.append(EffectAnswer(record, now_ms, replayed=one.flag == "r", conflict=one.flag == "c"))
        return answers

    async def _finished(self, process_id: str, one: _Found, entry_id: str) -> EffectRecord:
        """A child start that was recorded before: carried out now unless it was."""
        await self._children.resume_child(process_id, entry_id)
        key = self._context.keyspace.of_process(process_id).journal(process_id)
        text = (await self._context.connection.read([Command(key, ("HGET", key, one.item.field))]))[0]
        if text is not None:
            record = decode_entry(one.item.write.key, text, key=key).record
            if record.is_final:
                return record
        # The step is gone, so it was carried out; its outcome went with a failover or with the row.
        child = one.item.write.start
        outcome = "null" if child is None else started_outcome(child.registration.id)
        return record_of(one.item.write, outcome_json=outcome)

    async def _blobs(self, process_id: str, fields: Sequence[str]) -> list[str | None]:
        key = self._context.keyspace.of_process(process_id).blobs(process_id)
        return (await self._context.connection.read([Command(key, ("HMGET", key, *fields))]))[0]


def _parts(items: Sequence[_Item], batch_max: int) -> Iterator[list[_Item]]:
    """Items in portions that one script takes."""
    part: list[_Item] = []
    size = 0
    for item in items:
        if part and (len(part) >= batch_max or size + item.size > CALL_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(item)
        size += item.size
    if part:
        yield part


def _written(one: _Found, started: Mapping[str, StartedChild]) -> EffectRecord:
    write = one.item.write
    if write.state == "starting":
        child = started[one.detail]
        return record_of(write, outcome_json=child.outcome_json, failed=child.failed)
    return record_of(write, due_at_ms=int(one.detail) if one.detail else None)
