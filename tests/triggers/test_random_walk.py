"""The same random calls to the store in memory and to the one over Redis: every answer is the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import LashError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.base import Model
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerTarget, subscription_id
from lash_core.model.trigger_command import (
    AnyTriggerCommand,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    PruneTriggers,
    RegisterTrigger,
    ReviveTrigger,
    UpdateTrigger,
)
from lash_core.model.trigger_limits import TriggerLimits
from lash_core.model.trigger_occurrence import DeliverySettlement, ScheduleTick, TriggerDelivery, TriggerOccurrence
from lash_core.model.trigger_schedule import TriggerSchedule
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.store.trigger_store import TriggerFilter, TriggerPage, TriggerStore, WaitingDelivery

STEPS = 400
HOUR_MS = 3_600_000
OWNERS = (TriggerOwnerScope.host(), TriggerOwnerScope.platform(), TriggerOwnerScope.session("s"))
KEYS = ("a", "b", "c")
SOURCES = (("w", "1"), ("w", "2"))
LIMITS = TriggerLimits(subscriptions_max=8, source_subscriptions_max=3, occurrences_max=12, unstarted_max=25)
_TIMES = frozenset(
    {
        *("incarnation", "existing_incarnation", "process_id", "created_at_ms", "updated_at_ms", "recorded_at_ms"),
        *("reserved_at_ms", "due_ms", "now_ms", "age_ms", "next_cursor"),
    }
)
"""What two stores need not agree on: their clocks differ by the time between two calls."""


def comparable(answer: Any) -> Any:
    """An answer without times, and without the order that a store does not promise."""
    match answer:
        case Model():
            return {"_": type(answer).__name__} | comparable(answer.to_plain_value())
        case TriggerPage():
            return sorted((comparable(item) for item in answer.items), key=str), answer.next_cursor is None
        case WaitingDelivery():
            return comparable(answer.delivery), comparable(answer.occurrence)
        case LashError():
            return type(answer).__name__, answer.message, answer.field
        case dict():
            return {name: comparable(value) for name, value in answer.items() if name not in _TIMES}
        case list() | tuple():
            return [comparable(item) for item in answer]
        case _:
            return answer


class Walk:
    """Chooses calls; keeps what both stores answered last, each its own."""

    def __init__(self, seed: int, left: TriggerStore, right: TriggerStore) -> None:
        self.random = random.Random(seed)
        self.sides = (left, right)
        self.operations: list[AnyTriggerCommand] = []
        self.deliveries: list[tuple[TriggerDelivery, TriggerDelivery]] = []
        self.trail: list[str] = []

    async def both(self, what: str, call: Callable[[TriggerStore, int], Awaitable[Any]]) -> list[Any]:
        """Call both and compare."""
        self.trail.append(what)
        answers: list[Any] = []
        for side, store in enumerate(self.sides):
            try:
                answers.append(await call(store, side))
            except LashError as error:
                answers.append(error)
        left, right = (comparable(answer) for answer in answers)
        assert left == right, "\n".join([*self.trail[-12:], f"memory: {left}", f"redis: {right}"])
        return answers

    def definition(self, owner: TriggerOwnerScope, key: str) -> TriggerDefinition:
        target = TriggerTarget("job", params=self.random.choice([None, {"n": 1}]))
        if self.random.random() < 0.4:
            every = TriggerSchedule(interval_ms=self.random.choice([HOUR_MS, 2 * HOUR_MS]))
            return TriggerDefinition.scheduled(owner, key, every, target)
        return TriggerDefinition(*self.random.choice(SOURCES), target)

    def command(self) -> AnyTriggerCommand:
        if self.operations and self.random.random() < 0.15:
            return self.random.choice(self.operations)
        owner, key = self.random.choice(OWNERS), self.random.choice(KEYS)
        named: dict[str, Any] = {
            "operation_id": f"op-{self.random.randrange(300)}",
            "owner_scope": owner,
            "subscription_key": key,
        }
        changing: dict[str, Any] = {**named, "expected_revision": self.random.randrange(1, 6)}
        made: AnyTriggerCommand
        match self.random.randrange(10):
            case 0 | 1 | 2:
                made = RegisterTrigger(**named, definition=self.definition(owner, key))
            case 3 | 4:
                made = UpdateTrigger(**changing, definition=self.definition(owner, key))
            case 5:
                made = EnableTrigger(**changing)
            case 6:
                made = DisableTrigger(**changing)
            case 7:
                made = DeleteTrigger(**changing)
            case 8:
                made = ReviveTrigger(**changing, definition=self.definition(owner, key))
            case _:
                keys = tuple(self.random.sample(KEYS, 2))
                made = PruneTriggers(operation_id=named["operation_id"], owner_scope=owner, subscription_keys=keys)
        self.operations.append(made)
        return made

    async def step(self) -> None:
        often = (self.mutate, self.mutate, self.mutate, self.ingest, self.ingest, self.settle, self.settle)
        await self.random.choice((*often, self.tick, self.look, self.recover, self.forget))()

    async def mutate(self) -> None:
        command = self.command()
        # An expected revision that is mostly right makes the walk go somewhere.
        if hasattr(command, "expected_revision") and self.random.random() < 0.7 and command not in self.operations[:-1]:
            own_id = subscription_id(command.owner_scope, getattr(command, "subscription_key", ""))
            found = await self.sides[0].get_trigger_subscription(own_id)
            if found is not None:
                command = command.model_copy(update={"expected_revision": found.revision})
                self.operations[-1] = command
        await self.both(repr(command), lambda store, _: store.apply_trigger_command(command))

    async def ingest(self) -> None:
        number = self.random.randrange(40)
        occurrence = TriggerOccurrence(*self.random.choice(SOURCES), str(number), self.random.choice([1, 1, 2]))
        left, right = await self.both(repr(occurrence), lambda store, _: store.ingest_occurrence(occurrence))
        if not isinstance(left, LashError):
            self.deliveries += zip(left.deliveries, right.deliveries, strict=True)

    async def settle(self) -> None:
        if not self.deliveries:
            return
        chosen = [self.random.choice(self.deliveries) for _ in range(self.random.randrange(1, 4))]
        outcome: Any = self.random.choice(["started", "started", "failed", "put_off"])

        async def call(store: TriggerStore, side: int) -> None:
            await store.settle_deliveries(
                [DeliverySettlement.of(pair[side], outcome, reason="why", delay_ms=60_000) for pair in chosen]
            )

        await self.both(f"settle {outcome} {[pair[0].subscription_id[-4:] for pair in chosen]}", call)
        for pair in chosen:
            await self.both("read", lambda store, side, pair=pair: store.get_occurrence(pair[side].occurrence_id))

    async def tick(self) -> None:
        owner, key = self.random.choice(OWNERS), self.random.choice(KEYS)
        own_id = subscription_id(owner, key)
        back = self.random.randrange(-1, 4)
        place = self.random.random() < 0.5

        async def call(store: TriggerStore, _: int) -> Any:
            found = await store.get_trigger_subscription(own_id)
            due = (await store.schedule_due_ms([own_id]))[0]
            if found is None:
                return None
            return await store.fire_tick(
                ScheduleTick(
                    subscription_id=own_id,
                    incarnation=found.incarnation,
                    revision=found.revision,
                    tick_ms=(due or 10 * HOUR_MS) - back * HOUR_MS,
                    due_ms=due if place else None,
                    next_due_ms=None if due is None else due + HOUR_MS,
                )
            )

        await self.both(f"tick {key} {back} {place}", call)

    async def look(self) -> None:
        wanted = TriggerFilter(self.random.choice([None, *OWNERS]), self.random.random() < 0.5)
        await self.both("list", lambda store, _: store.list_trigger_subscriptions(wanted, None, 50))
        ids = [subscription_id(owner, key) for owner in OWNERS for key in KEYS]
        dues = await self.both("due?", lambda store, _: _known(store.schedule_due_ms(ids)))
        assert len(dues) == 2

    async def recover(self) -> None:
        age = self.random.choice([0, 60_000])

        async def call(store: TriggerStore, _: int) -> Any:
            found = await store.unstarted_deliveries(min_age_ms=age, limit=100)
            return sorted((comparable(item) for item in found), key=str)

        await self.both(f"unstarted {age}", call)
        await self.both("failed", lambda store, _: _sorted(store.failed_deliveries(100)))

    async def forget(self) -> None:
        match self.random.randrange(4):
            case 0:
                await self.both("session", lambda store, _: store.delete_session_subscriptions("s"))
            case 1 if self.deliveries:
                pair = self.random.choice(self.deliveries)
                await self.both(
                    "drop",
                    lambda store, side: store.drop_deliveries([(pair[side].occurrence_id, pair[side].subscription_id)]),
                )
            case _:
                return


async def _known(call: Awaitable[tuple[int | None, ...]]) -> list[bool]:
    return [one is not None for one in await call]


async def _sorted(call: Awaitable[tuple[TriggerDelivery, ...]]) -> list[Any]:
    return sorted((comparable(item) for item in await call), key=str)


@pytest.mark.parametrize("seed", range(6))
async def test_both_stores_answer_alike(seed: int, valkey_url: str) -> None:
    """400 calls a seed; the failing trail is in the message."""
    settings = StoreSettings(namespace=f"walk-{seed}", partitions=1)
    async with (
        InMemoryStores(VirtualClock()) as memory,
        RedisStores.connect(valkey_url, settings=settings, test_clock=True) as redis,
    ):
        walk = Walk(seed, memory.triggers.with_limits(LIMITS), redis.triggers.with_limits(LIMITS))
        for number in range(STEPS):
            await walk.step()
            # Each call has a ms of its own, so that "oldest" means the same in both.
            later_ms = HOUR_MS // 2 if number % 25 == 24 else 1
            await asyncio.gather(memory.advance_clock(later_ms), redis.advance_clock(later_ms))
