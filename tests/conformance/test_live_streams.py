"""Random walks of two programs that append, drop and trim while many listen: nothing comes twice, no hole is untold."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import SubscriberLaggedError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session_observation import QueueChangedPayload, SessionObservationEvent
from lash_core.redis_store.stores import RedisStores
from lash_core.store.live_replay_store import LiveAppend, LiveAppended, LiveSubscribed
from lash_core.testing.conformance.live_replay.arrange import after, queued
from lash_core.testing.waiting import eventually

STEPS = 60
READERS = 24
LAST = "last"
WITHIN_SECONDS = 20
"""A bound for hanging, not a measure."""


class Walk:
    """Sessions that two programs write, and what is known of their events.

    Attributes:
        known: batch ids by session and position, of events whose append was answered.
        coming: readers that have yet to subscribe.
    """

    def __init__(self, seed: int, programs: list[Any], cut: Callable[[], Any] | None) -> None:
        self.random = random.Random(seed)
        self.programs = programs
        self.cut = cut
        self.sessions = [f"s{seed}-{number}" for number in range(3)]
        self.known: dict[tuple[str, int], str] = {}
        self.coming = READERS
        self._made = 0

    async def run(self) -> None:
        """All of it; raises what a reader finds wrong."""
        readers = [asyncio.create_task(self.listen()) for _ in range(READERS)]
        await asyncio.gather(*(self.write(program) for program in self.programs for _ in range(2)))
        # Who came behind the last event would wait for it in vain.
        await eventually(lambda: self.coming == 0)
        for session_id in self.sessions:
            await self.programs[0].live_replay.append(session_id, 1, queued(LAST))
        async with asyncio.timeout(WITHIN_SECONDS):
            await asyncio.gather(*readers)

    async def write(self, program: Any) -> None:
        """Append, alone or several at once, drop some, let time pass, trim, cut the connections that listen."""
        for _ in range(STEPS):
            await asyncio.sleep(0)
            session_id = self.random.choice(self.sessions)
            chosen = self.random.random()
            if chosen < 0.8:
                events = 1 if chosen < 0.65 else self.random.randint(2, 30)
                await self.append(program, session_id, events, dropped=self.random.choice([0, 0, 0, 0, 3]))
            elif chosen < 0.9:
                await program.advance_clock(self.random.choice([1_000, 60_000, 130_000]))
                await program.live_replay.trim_session(session_id)
            elif chosen < 0.92 and self.cut is not None:
                await self.cut()

    async def append(self, program: Any, session_id: str, events: int, *, dropped: int) -> None:
        """Append so many events, and note where they are."""
        names = [str(self._made + number) for number in range(events)]
        self._made += events
        append = LiveAppend(session_id, 1, tuple(queued(name) for name in names), dropped=dropped)
        (outcome,) = await program.live_replay.append_many([append])
        assert isinstance(outcome, LiveAppended), f"expected LiveAppended, got {outcome!r}"
        for event, name in zip(outcome.events, names, strict=True):
            self.known[session_id, event.position] = name

    async def listen(self) -> None:
        """Read from somewhere near the end to the last event, now and then more slowly."""
        rings, session_id = self.random.choice(self.programs).live_replay, self.random.choice(self.sessions)
        for _ in range(self.random.randint(0, 40)):
            await asyncio.sleep(0)
        tail = (await rings.current_cursor(session_id, 1)).parse().live_position
        position = max(0, tail - self.random.choice([0, 0, 1, 5]))
        answer = await rings.subscribe_after_cursor(after(session_id, position))
        self.coming -= 1
        if not isinstance(answer, LiveSubscribed):
            return
        async for item in answer.subscription:
            if isinstance(item, SubscriberLaggedError):
                position += item.missed
                continue
            assert isinstance(item, SessionObservationEvent), f"expected an event, got {item!r}"
            assert isinstance(item.payload, QueueChangedPayload)
            position += 1
            (name,) = item.payload.batch_ids
            assert position == item.position, f"{session_id}: {item.position} comes where {position} should"
            assert name == self.known.get((session_id, position), name)
            if name == LAST:
                break
            for _ in range(self.random.choice([0, 0, 0, 20])):
                await asyncio.sleep(0)
        await answer.subscription.aclose()


@asynccontextmanager
async def _walk(backend: str, url: str, seed: int) -> AsyncGenerator[Walk]:
    async with AsyncExitStack() as opened:
        if backend == "memory":
            yield Walk(seed, [await opened.enter_async_context(InMemoryStores(VirtualClock()))], None)
            return
        connect = [RedisStores.connect(url, namespace="live-streams", test_clock=True) for _ in range(2)]
        programs = [await opened.enter_async_context(stores) for stores in connect]

        async def cut() -> None:
            await programs[0].context.connection.execute("", "CLIENT", "KILL", "TYPE", "pubsub")

        yield Walk(seed, programs, cut)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("backend", [pytest.param("memory", marks=pytest.mark.in_memory), "valkey"])
async def test_who_listens_hears_everything_or_is_told(
    backend: str, seed: int, server_url: Callable[[str], str]
) -> None:
    """Also where connections are cut under it: positions follow each other, counted over what was missed."""
    async with _walk(backend, server_url(backend), seed) as walk:
        await walk.run()
