"""The journal of one session's turns over Redis, under its execution lease (docs/adr/0161).

Entries are those of the scope ``turn(<session>, <turn>)``; the commit that ends the turn deletes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from lash_core.errors import InvalidArgumentError, LimitExceededError, OutcomeUnknownError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.ids import check_id, check_replay_key
from lash_core.model.session_commit import SESSION_RECORD_VERSION, TurnStampRecord
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.redis_store.commands import Command
from lash_core.redis_store.event_codec import byte_size
from lash_core.redis_store.journal_codec import STATE_LETTERS, decode_entry, effect_head
from lash_core.redis_store.keys import scope_hash
from lash_core.redis_store.leased_session import LeasedSession
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_commit_codec import decode_stamp
from lash_core.store.session_records import record_facts
from lash_core.store.turn_journal import OpenTurn

PAGE = 100
"""Entries of one HSCAN step: at most 25 MB."""

CALL_BYTES_MAX = 4 * 1024 * 1024
"""Outcomes of one script call; more are written in several calls."""

OPEN_TRIES_MAX = 3
"""Times an open of a turn looks again at which turn is open: whoever opens one holds the lease, so twice is rare."""

_BYTES_FIELD = "\n"


class SessionTurns(LeasedSession):
    """Effects of the session's turns, fenced by its execution lease."""

    async def load_open_turn(self, session_id: str) -> OpenTurn | None:
        """The turn that is to be redone, or None.

        Raises:
            CorruptRecordError: its note cannot be decoded.
        """
        self._check_bound(session_id)
        head, deaths = self._keys.session_head(session_id), self._keys.session_deaths
        (noted, taken), counted = await self._context.connection.read(
            [Command(head, ("HMGET", head, "ot", "ob")), Command(deaths, ("HGET", deaths, session_id))]
        )
        return None if noted is None else self._open(noted, taken or "", int((counted or "0").partition(";")[0]))

    async def open_turn(self, lease: SessionExecutionLeaseFence, turn: OpenTurn) -> OpenTurn:
        """Note the beginning of a turn; one that is open under this id is answered as it was noted. Safe to repeat.

        Another turn that was open is forgotten with its journal.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
            InvalidArgumentError, InvalidJsonError, LimitExceededError: the turn's id or facts.
        """
        fence = self._fence_args(lease)
        check_id(turn.turn_id, field="turn_id", subject="turn id")
        facts = canonical_json({"v": SESSION_RECORD_VERSION, "facts": turn.facts}, field="facts")
        self._context.settings.limits.check_payload_size(byte_size(facts), field="facts")
        former, own = "", scope_hash(ExecutionScope.turn(self._session_id, turn.turn_id))
        for _ in range(OPEN_TRIES_MAX):
            scope = scope_hash(ExecutionScope.turn(self._session_id, former)) if former else own
            journals = (self._keys.scope_journal(scope), self._keys.scopes, self._keys.scope_journal(own))
            keys = (*self._script_keys, *journals)
            args = (*fence, turn.turn_id, facts, _lines(turn.batch_ids), former, scope if former else "")
            reply: list[Any] = (await self._context.scripts.run([Call("open_turn", keys, args)], durable=True))[0]
            match reply[0]:
                case "opened":
                    self._context.turn_writes.forget((self._session_id, turn.turn_id, lease.lease_token))
                    return turn.model_copy(update={"deaths": 0})
                case "again":
                    return self._open(reply[1], reply[2], int(reply[3]))
                case "changed":
                    former = reply[1]
                case word:
                    raise self._refused(word, reply[1])
        raise OutcomeUnknownError(f"the open turn of session `{self._session_id}` keeps changing")

    async def record_turn_effects(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        writes: Sequence[EffectWrite],
        *,
        taken_batch_ids: Sequence[str] = (),
    ) -> tuple[EffectAnswer, ...]:
        """Write entries; what is recorded already is answered instead. One atomic, fenced write; safe to repeat.

        Over ``Limits.batch_max`` writes, or over 4 MB, are several writes, in order.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live, or a failover lost writes of the turn.
            LimitExceededError: the journal is full (``journal_entries`` or ``journal_bytes``), an outcome too long.
            InvalidArgumentError: a child start, which a turn records as the outcome of its own start.
        """
        fence = self._fence_args(lease)
        for write in writes:
            self._check_write(write)
        answers: list[EffectAnswer] = []
        for part in _parts(writes, self._context.settings.limits.batch_max):
            answers += await self._record(fence, turn_id, part, _lines(taken_batch_ids))
        return tuple(answers)

    async def load_turn_effects(self, session_id: str, turn_id: str) -> tuple[EffectRecord, ...]:
        """All entries of a turn, read page by page.

        Raises:
            CorruptRecordError: an entry cannot be decoded.
        """
        self._check_bound(session_id)
        key = self._keys.scope_journal(scope_hash(ExecutionScope.turn(session_id, turn_id)))
        texts: dict[str, str] = {}
        cursor = "0"
        while True:
            # A scan ends by the server's promise.
            cursor, flat = (await self._context.connection.read([Command(key, ("HSCAN", key, cursor, "COUNT", PAGE))]))[
                0
            ]
            texts.update(zip(flat[::2], flat[1::2], strict=True))
            if str(cursor) == "0":
                break
        texts.pop(_BYTES_FIELD, None)
        return tuple(decode_entry(field, text, key=key).record for field, text in texts.items())

    async def list_stamped_turns(self, session_id: str, offset: int, limit: int) -> tuple[str, ...]:
        """Ids of the turns that have a stamp, newest first."""
        self._check_bound(session_id)
        if limit < 1:
            return ()  # such a span would be the whole list
        offset = max(offset, 0)
        key = self._keys.session_stamp_order(session_id)
        span = ("LRANGE", key, -(offset + limit), -(offset + 1))
        (turns,) = await self._context.connection.read([Command(key, span)])
        return tuple(reversed(turns))

    async def find_turn_stamp(self, session_id: str, turn_id: str) -> TurnStampRecord | None:
        """What a turn committed, or None: it was not committed, or that is too long ago.

        Raises:
            CorruptRecordError: the stamp cannot be decoded.
        """
        self._check_bound(session_id)
        key = self._keys.session_stamps(session_id)
        fields = ("HMGET", key, f"#{turn_id}", f"={turn_id}")
        ((stamp, result),) = await self._context.connection.read([Command(key, fields)])
        if stamp is None:
            return None
        turn_result = None if result is None else json.loads(result)
        return decode_stamp(session_id, stamp, key=key).record(turn_id, turn_result)

    def _open(self, noted: str, taken: str, deaths: int) -> OpenTurn:
        turn_id, _, text = noted.partition("\n")
        key = self._keys.session_head(self._session_id)
        facts = record_facts(text, "v", subject=f"the open turn `{turn_id}`", key=key)
        return OpenTurn(
            turn_id, facts=facts.get("facts"), batch_ids=tuple(filter(None, taken.split("\n"))), deaths=deaths
        )

    def _check_write(self, write: EffectWrite) -> None:
        check_replay_key(write.key)
        size = byte_size(write.outcome_json or "")
        self._context.settings.limits.check_payload_size(size, field="outcome")
        if write.state == "starting":
            raise InvalidArgumentError(
                f"effect `{write.key}` is a child start in the making; a turn starts its child first and records that",
                field="state",
                value=write.state,
            )

    async def _record(
        self, fence: tuple[str, str, str], turn_id: str, writes: Sequence[EffectWrite], taken: str
    ) -> list[EffectAnswer]:
        limits = self._context.settings.limits
        scope = scope_hash(ExecutionScope.turn(self._session_id, turn_id))
        journal = self._keys.scope_journal(scope)
        bounds = (limits.journal_entries_max, limits.journal_bytes_max)
        memory = self._context.turn_writes
        name = (self._session_id, turn_id, fence[2])
        args: list[str | int] = [*fence, turn_id, scope, *bounds, taken, memory.acknowledged(name)]
        for write in writes:
            delay = "" if write.delay_ms is None else str(write.delay_ms)
            args += (write.key, STATE_LETTERS[write.state], effect_head(write), delay)
            args += (write.digests, write.outcome_json or "")
        call = Call("record_turn_effects", (*self._script_keys, journal, self._keys.scopes), tuple(args))
        reply: list[Any] = (await self._context.scripts.run([call], durable=True))[0]
        if reply[0] == "limit":
            limit = bounds[0] if reply[1] == "journal_entries" else bounds[1]
            raise LimitExceededError(
                f"a turn of session `{self._session_id}` would pass the limit of its journal: {reply[1]} {limit}",
                field=reply[1],
                limit=limit,
            )
        if reply[0] == "behind":
            raise self._refused("lost", "the store lost writes of this turn")
        if reply[0] != "ok":
            raise self._refused(reply[0], reply[1])
        memory.acknowledge(name, int(reply[2]))
        now_ms = int(reply[1])
        return [
            EffectAnswer(
                decode_entry(write.key, text, key=journal).record, now_ms, replayed=flag == "r", conflict=flag == "c"
            )
            for write, flag, text in zip(writes, reply[3::2], reply[4::2], strict=True)
        ]


def _lines(ids: Sequence[str]) -> str:
    return "".join(f"{one}\n" for one in ids)


def _parts(writes: Sequence[EffectWrite], batch_max: int) -> Iterator[Sequence[EffectWrite]]:
    """Writes in portions that one script takes; one empty portion for no writes."""
    part: list[EffectWrite] = []
    size = 0
    for write in writes:
        added = len(write.outcome_json or "") + len(write.digests)
        if part and (len(part) >= batch_max or size + added > CALL_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(write)
        size += added
    yield part
