"""Appending to rings on Redis: one script a session, one pipeline a call (``docs/contracts/observation.md`` 4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from lash_core.errors import LashError, LiveReplayStoreError
from lash_core.errors.observation import LiveReplayFailedError
from lash_core.model.ids import check_id
from lash_core.model.observation_codec import encode_payload
from lash_core.model.session_cursor import SessionCursor, SessionRevision
from lash_core.model.session_observation import (
    AgentFrameSwitchedPayload,
    CommittedPayload,
    LiveReplayConfig,
    SessionObservationEvent,
    SessionObservationEventPayload,
    TurnActivityPayload,
)
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.live_ring import live_ring_keys
from lash_core.redis_store.scripts import Call
from lash_core.store.live_replay_bounds import (
    EVENT_BYTES_MAX,
    FORGOTTEN_KEPT_MS,
    check_append,
    check_event_bytes,
    checked_revision,
)
from lash_core.store.live_replay_store import LiveAppend, LiveAppended, LiveAppendOutcome, LiveAppendStale

APPEND_DEADLINE_MS: Final = 2_000
"""How long an append is tried while the server is away: what is live is of no use later."""

PLACES_KEPT: Final = 1_000
"""Sessions whose id is not checked and whose keys are not made again with each append; of one, some 600 bytes."""


class LiveAppends:
    """The writing half of ``RedisLiveReplayStore``.

    Args:
        context: one namespace.
        config: the bounds that its appends keep a ring to.
    """

    def __init__(self, context: RedisContext, config: LiveReplayConfig) -> None:
        self._context = context
        self._config = config
        self._bounds = (config.max_events_per_session, config.max_age_ms, config.max_bytes_per_session)
        self._place_of = lru_cache(PLACES_KEPT)(self._checked_place)

    async def append(
        self, session_id: str, revision: int, payload: SessionObservationEventPayload
    ) -> SessionObservationEvent:
        """Append one event. Raises: LiveReplayStoreError."""
        (outcome,) = await self.append_many([LiveAppend(session_id, revision, (payload,))])
        match outcome:
            case LiveAppended(events=events):
                return events[0]
            case LiveAppendStale():  # not under a lease, so never
                raise LiveReplayFailedError("an append under no lease was refused as stale")
            case _:
                raise outcome

    async def append_many(self, appends: Sequence[LiveAppend]) -> tuple[LiveAppendOutcome, ...]:
        """Append for several sessions in one pipeline; one outcome each."""
        outcomes: list[LiveAppendOutcome | None] = [None] * len(appends)
        calls: list[Call] = []
        places: list[int] = []
        for place, one in enumerate(appends):
            try:
                calls.append(self._call(one))
                places.append(place)
            except LashError as error:
                outcomes[place] = failed(error)
        for place, reply in zip(places, await self._run(calls), strict=True):
            outcomes[place] = _outcome(appends[place], reply)
        return tuple(outcome for outcome in outcomes if outcome is not None)

    async def append_commit_once(
        self, session_id: str, revision: int, payload: CommittedPayload, *, frame_id: str | None = None
    ) -> SessionObservationEvent | None:
        """Append a ``committed``, unless there is one of this or a newer revision. Raises: LiveReplayStoreError."""
        payloads: tuple[SessionObservationEventPayload, ...] = (payload,)
        if frame_id is not None:
            payloads = (AgentFrameSwitchedPayload(frame_id), payload)
        try:
            name, keys = self._place_of(session_id)
            at_revision, texts = int(checked_revision(revision)), _texts(payloads)
        except LashError as error:
            raise failed(error) from error
        call = Call("append_live_commit", keys, (name, at_revision, *self._bounds, *texts))
        # A second run finds the first one's event, so a lost reply is no reason to give up.
        (reply,) = await self._run([call], repeatable=True)
        if isinstance(reply, LashError):
            raise failed(reply)
        if reply[0] == "known":
            return None
        position = int(reply[1]) + len(payloads) - 1
        return live_event(session_id, revision, position, payload)

    async def forget_session(self, session_id: str) -> None:
        """Drop a session's events and end its subscribers. Raises: LiveReplayStoreError."""
        call = Call("forget_live_ring", self._keys(session_id), (session_id, FORGOTTEN_KEPT_MS))
        (reply,) = await self._run([call], repeatable=True)
        if isinstance(reply, LashError):
            raise failed(reply)

    def _checked_place(self, session_id: str) -> tuple[str, tuple[str, str, str, str]]:
        check_id(session_id, field="session_id", subject="session id")
        return str(session_id), self._keys(session_id)

    def _keys(self, session_id: str) -> tuple[str, str, str, str]:
        return live_ring_keys(self._context.keyspace.of_session(session_id), session_id)

    def _call(self, append: LiveAppend) -> Call:
        check_append(append)
        session_id, keys = self._place_of(append.session_id)
        revision = int(checked_revision(append.revision))
        letters = "".join([_LETTERS.get(type(payload), "o") for payload in append.payloads])
        texts = _texts(append.payloads, append.texts)
        args = (session_id, append.generation, append.dropped, revision, *self._bounds, letters, *texts)
        return Call("append_live_events", keys, args)

    async def _run(self, calls: Sequence[Call], *, repeatable: bool = False) -> list[Any]:
        """Replies in order; a ``LashError`` in the place of what was refused, or of all when the server is away."""
        if not calls:
            return []
        try:
            return await self._context.scripts.run_each(calls, repeatable=repeatable, within_ms=APPEND_DEADLINE_MS)
        except LashError as error:
            return [error] * len(calls)


_LETTERS: dict[type, str] = {TurnActivityPayload: "a", CommittedPayload: "c"}


def live_event(
    session_id: str, revision: int, position: int, payload: SessionObservationEventPayload
) -> SessionObservationEvent:
    """An event at a position."""
    return live_events(session_id, revision, position, (payload,))[0]


def live_events(
    session_id: str, revision: int, first: int, payloads: Sequence[SessionObservationEventPayload]
) -> tuple[SessionObservationEvent, ...]:
    """Events at consecutive positions."""
    at_revision = revision if type(revision) is SessionRevision else SessionRevision(revision)
    cursors = SessionCursor.run(session_id, at_revision, first, len(payloads))
    if len(payloads) == 1:
        return (SessionObservationEvent(session_id, at_revision, cursors[0], payloads[0]),)
    pairs = zip(cursors, payloads, strict=True)
    return tuple([SessionObservationEvent(session_id, at_revision, cursor, payload) for cursor, payload in pairs])


def failed(error: LashError) -> LiveReplayStoreError:
    """What a store's failure is to those who watch."""
    if isinstance(error, LiveReplayStoreError):
        return error
    translated = LiveReplayFailedError(error.message, field=error.field, value=error.value, limit=error.limit)
    translated.outcome = error.outcome
    return translated


def _texts(payloads: Sequence[SessionObservationEventPayload], made: Sequence[str] = ()) -> Sequence[str]:
    texts: Sequence[str]
    if len(made) == len(payloads) and all(made):
        texts = made
    elif len(made) == len(payloads):
        texts = [text or encode_payload(payload) for text, payload in zip(made, payloads, strict=True)]
    else:
        texts = [encode_payload(payload) for payload in payloads]
    for text in texts:
        if len(text) > EVENT_BYTES_MAX // 4:
            check_event_bytes(len(text.encode()))
    return texts


def _outcome(append: LiveAppend, reply: Any) -> LiveAppendOutcome:
    if isinstance(reply, int):
        return LiveAppended(live_events(append.session_id, append.revision, reply, append.payloads))
    if isinstance(reply, LashError):
        return failed(reply)
    if reply[0] == "stale":
        return LiveAppendStale(int(reply[1]))
    if reply[0] == "over":
        return LiveAppendStale(append.generation, int(reply[1]))
    events = live_events(append.session_id, append.revision, int(reply[1]), append.payloads)
    return LiveAppended(events, took_over=True)
