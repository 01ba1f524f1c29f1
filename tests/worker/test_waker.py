"""Waking in time: the server's clock as a worker estimates it, and one timer for what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from lash_core.clock import VirtualClock
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.process_input import ProcessInput
from lash_core.testing.waiting import eventually
from lash_worker.services import worker_context
from lash_worker.services.worker_context import ServerClock
from tests.worker.rig import Rig, registration, running, succeed

OFFSET_MS = 5_000_000.25
"""What the server's clock of these tests is ahead."""


class OwnTime:
    """The machine's own clock, moved by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = 1_000.0
        monkeypatch.setattr(worker_context, "own_time_ms", lambda: self.now_ms)

    def ask(self, clock: ServerClock, there_ms: float, back_ms: float, offset_ms: float = OFFSET_MS) -> None:
        """A request that takes so long there and back."""
        sent_at_ms = self.now_ms
        server_ms = int(sent_at_ms + there_ms + offset_ms)
        self.now_ms += there_ms + back_ms
        clock.observe(server_ms, sent_at_ms)

    def error_ms(self, clock: ServerClock) -> float:
        """How far the estimate is off."""
        return clock.precise_ms() - (self.now_ms + OFFSET_MS)


def test_answers_together_say_more_than_the_best_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """One slow on the way there and one slow on the way back bound the clock from both sides."""
    own, clock = OwnTime(monkeypatch), ServerClock()
    assert not clock.is_set
    own.ask(clock, 40, 0.2)
    assert 10 < abs(own.error_ms(clock))
    own.ask(clock, 0.2, 40)

    assert clock.is_set
    assert 1.5 > abs(own.error_ms(clock))


def test_a_slow_answer_does_not_spoil_a_good_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims answer late when they bring many rows."""
    own, clock = OwnTime(monkeypatch), ServerClock()
    own.ask(clock, 0.3, 0.3)
    for _ in range(50):
        own.now_ms += 100
        own.ask(clock, 0.5, 80)

    assert 3 > abs(own.error_ms(clock))


def test_a_clock_that_was_set_is_believed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that contradict each other: only the newest count."""
    own, clock = OwnTime(monkeypatch), ServerClock()
    own.ask(clock, 0.3, 0.3, OFFSET_MS - 3_600_000)
    own.ask(clock, 0.3, 0.3)
    assert 1.5 > abs(own.error_ms(clock))
    own.ask(clock, 0.3, 0.3, OFFSET_MS - 60_000)

    assert -59_990 > own.error_ms(clock) > -60_010


async def test_a_notice_of_an_earlier_row_moves_the_timer() -> None:
    """The row that is due first is started first, whichever was known first."""
    rig = Rig(InMemoryStores(), succeed)
    await rig.start()
    try:
        await rig.put(registration("late", delay_ms=30_000))
        await eventually(lambda: rig.waker.armed_ms < float("inf"))
        armed_ms = rig.waker.armed_ms
        await rig.put(registration("early", delay_ms=80))
        await rig.end_of("early", 1)

        assert armed_ms > rig.context.clock.now_ms() + 20_000
        assert 0.05 > rig.sample("lash_timer_lateness_seconds_sum")
        await eventually(lambda: rig.waker.armed_ms == armed_ms)
    finally:
        await rig.stop()


async def test_a_row_that_was_declined_is_left_to_others_first() -> None:
    """The waker comes late for it, and in time for every other row."""
    elsewhere = ProcessInput.engine("elsewhere")
    rig = Rig(InMemoryStores(), succeed)
    await rig.start()
    try:
        await rig.put(registration("p", input=elsewhere))
        await eventually(lambda: rig.sample("lash_processes_declined_total", kind="other") == 1.0)
        await eventually(lambda: rig.waker.armed_ms < float("inf"))
        due_ms = await rig.registry.ready_at_ms("p")
        assert due_ms is not None
        assert due_ms + 1_500 == rig.waker.armed_ms
        await rig.put(registration("other", delay_ms=300))
        await rig.end_of("other", 2)

        assert 0.2 > rig.sample("lash_timer_lateness_seconds_sum")
    finally:
        await rig.stop()


async def test_a_clock_that_jumps_is_found_by_the_sweep() -> None:
    """Nobody tells of it: rows that are due then start with the next look, within seconds."""
    clock = VirtualClock()
    async with running(InMemoryStores(clock), succeed) as rig:
        await rig.put(registration("p", delay_ms=86_400_000))
        await eventually(lambda: rig.waker.armed_ms < float("inf"))
        clock.advance_ms(86_400_000)

        assert "completed" == (await rig.end_of("p", 5)).status.state


async def test_a_due_time_that_the_store_repeats_does_not_spin() -> None:
    """What was offered to a claim is not asked for again, whatever the hints say."""
    stores = InMemoryStores()
    past = stores.process_registry.next_due_ms
    claims: list[int] = []

    def stale() -> Mapping[int, int]:
        claims.append(1)
        return past() or {0: 1}

    stores.process_registry.next_due_ms = stale
    async with running(stores, succeed) as rig:
        await rig.put(registration("p", delay_ms=50))
        await rig.end_of("p")
        for _ in range(200):
            await asyncio.sleep(0)

        assert 20 > len(claims)


async def test_the_waker_starts_a_due_row_within_milliseconds() -> None:
    """Not with the next sweep: the claimer is poked when the time comes, and again when it asked too early."""
    rig = Rig(InMemoryStores(), succeed)
    await rig.start()
    try:
        await rig.put(*(registration(f"p{number}", delay_ms=100 + 40 * number) for number in range(10)))
        for number in range(10):
            await rig.end_of(f"p{number}")
        assert 10.0 == rig.sample("lash_timer_lateness_seconds_count")
        assert 0.5 > rig.sample("lash_timer_lateness_seconds_sum")
    finally:
        await rig.stop()
