"""The journal of turns in memory: entries stand in the journal of the turn's scope (docs/adr/0161)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lash_core.errors import InvalidArgumentError
from lash_core.memory_store.detach import detached
from lash_core.memory_store.row import journal_size
from lash_core.memory_store.scope_state import ScopeEntry
from lash_core.memory_store.session_part import SessionPart
from lash_core.memory_store.session_rows import StoredSession
from lash_core.memory_store.sessions_state import SessionsState
from lash_core.model.canonical_json import check_json
from lash_core.model.effect_record import EffectAnswer, EffectRecord, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.ids import check_id, check_replay_key
from lash_core.model.session_commit import TurnStampRecord
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.store.session_bounds import check_turn_journal_room
from lash_core.store.turn_journal import TURN_RESULTS_MAX, TURN_STAMPS_MAX, OpenTurn


class TurnJournalOperations(SessionPart):
    """Effects of the session's turns, fenced by its lease."""

    async def load_open_turn(self, session_id: str) -> OpenTurn | None:
        """The turn that is to be redone, or None."""
        self._check_bound(session_id)
        with self._state.lock:
            session = self._found()
            return None if session is None else _as_open(session)

    async def open_turn(self, lease: SessionExecutionLeaseFence, turn: OpenTurn) -> OpenTurn:
        """Note the beginning of a turn; one that is open under this id is answered as it was noted.

        Raises:
            SessionExecutionLeaseExpiredError. InvalidArgumentError: the turn's id.
            InvalidJsonError, LimitExceededError: the facts.
        """
        check_id(turn.turn_id, field="turn_id", subject="turn id")
        check_json(turn.facts, field="facts")
        noted = OpenTurn.model_validate_json(turn.model_copy(update={"deaths": 0}).model_dump_json())
        self._state.limits.check_payload_size(len(noted.model_dump_json().encode()), field="facts")
        with self._state.lock:
            session = self._leased(lease)
            if session.open_turn is None or session.open_turn.turn_id != turn.turn_id:
                close_turn(self._state, self._session_id, session)
                # A turn that begins has no journal: nothing of an earlier turn of the same id is replayed.
                drop_turn_journal(self._state, self._session_id, turn.turn_id)
                session.open_turn = noted
                session.note_progress()
            return _as_open(session) or noted

    async def record_turn_effects(
        self,
        lease: SessionExecutionLeaseFence,
        turn_id: str,
        writes: Sequence[EffectWrite],
        *,
        taken_batch_ids: Sequence[str] = (),
    ) -> tuple[EffectAnswer, ...]:
        """Write entries; what is recorded already is answered instead. One unit, safe to repeat.

        Raises:
            SessionExecutionLeaseExpiredError. LimitExceededError: the journal is full, or an outcome is too large.
            InvalidArgumentError: a child start, which a turn records as the outcome of its own start.
        """
        for write in writes:
            self._check_write(write)
        with self._state.lock:
            session = self._leased(lease)
            now_ms = self._state.clock.now_ms()
            scope = ExecutionScope.turn(self._session_id, turn_id)
            journal = self._state.scopes.journals.get(scope, {})
            planned, answers = _planned(journal, writes, now_ms)
            if planned:
                self._check_room(journal, planned)
                self._state.scopes.journals.setdefault(scope, journal).update(planned)
                self._state.scopes.touched_ms[scope] = now_ms
                session.note_progress()
            if session.open_turn is not None and session.open_turn.turn_id == turn_id:
                ids = dict.fromkeys((*session.open_turn.batch_ids, *taken_batch_ids))
                session.open_turn = session.open_turn.model_copy(update={"batch_ids": tuple(ids)})
            return answers

    async def load_turn_effects(self, session_id: str, turn_id: str) -> tuple[EffectRecord, ...]:
        """All entries of a turn."""
        self._check_bound(session_id)
        with self._state.lock:
            journal = self._state.scopes.journals.get(ExecutionScope.turn(session_id, turn_id), {})
            return tuple(replace(entry.record) for entry in journal.values())

    async def list_stamped_turns(self, session_id: str, offset: int, limit: int) -> tuple[str, ...]:
        """Ids of the turns that have a stamp, newest first."""
        self._check_bound(session_id)
        with self._state.lock:
            session = self._found()
            turns = [] if session is None else list(reversed(session.stamps))
            begin = max(offset, 0)
            return tuple(turns[begin : begin + max(limit, 0)])

    async def find_turn_stamp(self, session_id: str, turn_id: str) -> TurnStampRecord | None:
        """What a turn committed, or None."""
        self._check_bound(session_id)
        with self._state.lock:
            session = self._found()
            stamp = None if session is None else session.stamps.get(turn_id)
            return None if stamp is None else detached(stamp)

    def _check_write(self, write: EffectWrite) -> None:
        check_replay_key(write.key)
        self._state.limits.check_payload_size(len((write.outcome_json or "").encode()), field="outcome")
        if write.state == "starting":
            raise InvalidArgumentError(
                f"effect `{write.key}` is a child start in the making; a turn starts its child first and records that",
                field="state",
                value=write.state,
            )

    def _check_room(self, journal: dict[str, ScopeEntry], planned: dict[str, ScopeEntry]) -> None:
        entries = {**journal, **planned}
        size = sum(journal_size(entry.record) for entry in entries.values())
        check_turn_journal_room(self._session_id, len(entries), size, self._state.limits)


def close_turn(state: SessionsState, session_id: str, session: StoredSession) -> None:
    """Forget the turn that is open, with its journal."""
    if session.open_turn is not None:
        drop_turn_journal(state, session_id, session.open_turn.turn_id)
        session.open_turn = None


def drop_turn_journal(state: SessionsState, session_id: str, turn_id: str) -> None:
    """Forget what a turn recorded."""
    scope = ExecutionScope.turn(session_id, turn_id)
    state.scopes.journals.pop(scope, None)
    state.scopes.touched_ms.pop(scope, None)


def keep_stamp(session: StoredSession, stamp: TurnStampRecord) -> None:
    """Keep a turn's stamp, the newest of them."""
    session.stamps[stamp.turn_id] = stamp
    faded = len(session.stamps) - TURN_RESULTS_MAX - 1
    if faded >= 0:
        oldest = list(session.stamps)[faded]
        session.stamps[oldest] = session.stamps[oldest].model_copy(update={"turn_result": None})
    while len(session.stamps) > TURN_STAMPS_MAX:
        del session.stamps[next(iter(session.stamps))]


def _as_open(session: StoredSession) -> OpenTurn | None:
    turn = session.open_turn
    return None if turn is None else detached(turn, deaths=session.deaths)


def _planned(
    journal: dict[str, ScopeEntry], writes: Sequence[EffectWrite], now_ms: int
) -> tuple[dict[str, ScopeEntry], tuple[EffectAnswer, ...]]:
    """The entries as they will stand, and each write's answer."""
    planned: dict[str, ScopeEntry] = {}
    answers: list[EffectAnswer] = []
    for write in writes:
        entry = planned.get(write.key) or journal.get(write.key)
        stored = None if entry is None else entry.record
        record, word = write.taken_over(stored, now_ms)
        if word == "written":
            planned[write.key] = ScopeEntry(record)
        answers.append(EffectAnswer.of_word(replace(record), now_ms, word))
    return planned, tuple(answers)
