"""Rings of two stores side by side: what is appended, dropped, trimmed and deleted, and what cursors find then."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from lash_core.memory_store.live_replay import InMemoryLiveReplayStore
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import LiveReplayConfig, SessionObservationEventPayload
from lash_core.redis_store.live_replay import RedisLiveReplayStore
from lash_core.redis_store.stores import RedisStores
from lash_core.store.live_replay_store import FleetLiveReplayStore, LiveAppend, LiveAppended, LiveReplayed
from lash_core.testing.conformance.live_replay.arrange import queued, said, stored
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import EffectStores, elapse

BOUNDS = LiveReplayConfig(max_events_per_session=5, max_age_ms=120_000)
STEP_MS = 50_000
"""Two of them are well within the age, three are well over it: no walk depends on a machine's speed."""


def rings_of(stores: object) -> FleetLiveReplayStore:
    """Rings with small bounds."""
    if isinstance(stores, RedisStores):
        return RedisLiveReplayStore(stores.context, BOUNDS)
    assert isinstance(stores, InMemoryStores)
    return InMemoryLiveReplayStore(BOUNDS, clock=stores.clock)


class PairedRings:
    """Asks both and insists on the same answer."""

    def __init__(self, left: EffectStores, right: EffectStores, loop: asyncio.AbstractEventLoop) -> None:
        self._stores = (left, right)
        self._rings = (rings_of(left), rings_of(right))
        self._loop = loop

    def ask(self, verb: str, *args: Any, **options: Any) -> Any:
        """The answer of both."""
        left, right = (
            _plain(self._loop.run_until_complete(getattr(rings, verb)(*args, **options))) for rings in self._rings
        )
        assert left == right, f"{verb}{args}: {left!r} in memory, {right!r}"
        return left

    def do(self, verb: str, *args: Any) -> None:
        """The same on both; what they answer may differ."""
        for rings in self._rings:
            self._loop.run_until_complete(getattr(rings, verb)(*args))

    def elapse(self, ms: int) -> None:
        """Time passes for both."""
        for stores in self._stores:
            self._loop.run_until_complete(elapse(stores, ms))


def _plain(answer: Any) -> Any:
    """An answer without what compares by identity: views are told apart by their messages."""
    match answer:
        case LiveAppended(events=events, took_over=took_over):
            return [_event(event) for event in events], took_over
        case LiveReplayed(events=events):
            return [_event(event) for event in events]
        case tuple():
            return [_plain(one) for one in answer]
        case _ if hasattr(answer, "cursor") and hasattr(answer, "payload"):
            return _event(answer)
        case _:
            return answer


def _event(event: Any) -> tuple[Any, ...]:
    payload = event.payload
    view = getattr(payload, "read_view", None)
    content = payload if view is None else [message.id for message in view.messages]
    return event.session_id, int(event.revision), str(event.cursor), content


class LiveMachine(RuleBasedStateMachine):
    """A walk; ``pair`` is set by whoever walks."""

    pair: PairedRings

    @initialize()
    def begin(self) -> None:
        """Sessions of this walk alone."""
        self.sessions = [unique("session") for _ in range(2)]
        self.count = 0

    def _payload(self, kind: str, session_id: str) -> SessionObservationEventPayload:
        self.count += 1
        match kind:
            case "activity":
                return said(str(self.count))
            case "commit":
                return stored(session_id, f"m{self.count}")
            case _:
                return queued(str(self.count))

    @rule(
        which=st.integers(0, 1),
        kinds=st.lists(st.sampled_from(["activity", "queue", "commit"]), min_size=1, max_size=7),
        generation=st.sampled_from([0, 0, 1, 2, 3]),
        dropped=st.sampled_from([0, 0, 0, 1, 4]),
        revision=st.integers(0, 3),
    )
    def append(self, which: int, kinds: list[str], generation: int, dropped: int, revision: int) -> None:
        """Several events in one step, by owners old and new."""
        name = self.sessions[which]
        payloads = tuple(self._payload(kind, name) for kind in kinds)
        self.pair.ask("append_many", [LiveAppend(name, revision, payloads, generation=generation, dropped=dropped)])

    @rule(which=st.integers(0, 1), revision=st.integers(0, 4), frame=st.sampled_from([None, "f"]))
    def commit_once(self, which: int, revision: int, frame: str | None) -> None:
        """A commit, its repeat, or an older one."""
        name = self.sessions[which]
        self.pair.ask("append_commit_once", name, revision, stored(name, f"r{revision}"), frame_id=frame)

    @rule(which=st.integers(0, 1), position=st.integers(0, 40))
    def replay(self, which: int, position: int) -> None:
        """A cursor anywhere."""
        self.pair.ask("replay_after_cursor", SessionCursor.new(self.sessions[which], 0, position))

    @rule(which=st.integers(0, 1), back=st.integers(-1, 6))
    def replay_near_the_tail(self, which: int, back: int) -> None:
        """A cursor where something happens."""
        name = self.sessions[which]
        tail = self.pair.ask("current_cursor", name, 1).parse().live_position
        self.pair.ask("replay_after_cursor", SessionCursor.new(name, 0, max(tail - back, 0)))
        self.pair.ask("last_commit", name)

    @rule(steps=st.integers(1, 3))
    def wait(self, steps: int) -> None:
        """Time passes."""
        self.pair.elapse(steps * STEP_MS)

    @rule(which=st.integers(0, 1))
    def trim(self, which: int) -> None:
        """What is too old goes."""
        self.pair.do("trim_session", self.sessions[which])

    @rule()
    def trim_idle(self) -> None:
        """The reaper comes by."""
        self.pair.do("trim_idle", 100_000)

    @rule(which=st.integers(0, 1))
    def forget(self, which: int) -> None:
        """The session is deleted."""
        self.pair.do("forget_session", self.sessions[which])
