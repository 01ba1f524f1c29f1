"""A storm over the order pipeline: ``python -m examples.orders.storm --orders 20 --kills 12``.

Three workers on a private server, parking at every wait. While clerk and customers do their part (they approve, refuse,
cancel and pay), workers are killed with -9 at random. Afterwards everything is counted from outside, in the shop's own
file: money, stock and parcels of each order as it ended; no step that was recorded ran again; what ran twice was under
way when its worker was killed.

Prints a summary and exits 1 when anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from examples.orders import shop
from examples.orders.app import Order, app
from examples.workers import Workers
from lash_core.client import LashClient
from lash_core.errors import LashError, ProcessCancelled
from lash_core.redis_store.embedded import ensure_embedded
from lash_core.settings import EmbeddedSettings, Settings, StoreSettings
from lash_core.testing.waiting import eventually

CENTS = 4_200
SHIPPED = ("reserve", "invoice", "charge", "pack", "ship")
PUT_BACK = ("reserve", "release")
"""Steps of an order that ends in one way or the other: one begins when the one before is recorded."""

ITEMS = len(Order(cents=1).items)
REMIND_AFTER_MS = 2_000
CLERK_SECONDS_MAX = 4.0
"""The clerk needs two reminders at most; five and no answer would be a refusal."""

START_MS_MAX = 30_000


@dataclass
class Outcome:
    """What was seen. ``wrong`` is empty when everything is right."""

    ends: dict[str, int]
    seconds: float
    kills: int
    calls: int
    repeated: int
    reminders: int = 0
    wrong: list[str] = field(default_factory=list[str])


class Storm:
    """One run of it."""

    def __init__(self, lash: LashClient, workers: Workers, orders: int, kills: int, dice: random.Random) -> None:
        self._lash = lash
        self._workers = workers
        self._ids = [f"order-{number}" for number in range(orders)]
        self._kills = kills
        self._dice = dice
        self._over = asyncio.Event()
        self.killed = 0
        self.ends: dict[str, str] = {}
        """Order → how it ended: shipped, rejected or cancelled."""

    async def run(self, seconds_max: float) -> list[str]:
        """Everything at once, until all orders have ended; returns what is wrong with how they ended."""
        for order_id in self._ids:
            order = Order(cents=CENTS, remind_after_ms=REMIND_AFTER_MS)
            await self._lash.enqueue("order.fulfil", order, process_id=order_id)
        helpers = [asyncio.create_task(self._customers()), asyncio.create_task(self._killer())]
        helpers += [asyncio.create_task(self._answer(number)) for number in range(len(self._ids))]
        ends = [asyncio.create_task(self._end_of(order_id)) for order_id in self._ids]
        _, late = await asyncio.wait(ends, timeout=seconds_max)
        self._over.set()
        for task in late:
            task.cancel()
        answers = await asyncio.gather(*helpers, *ends, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [f"{len(late)} orders did not end within {seconds_max:.0f} s"] if late else []

    async def _end_of(self, order_id: str) -> None:
        try:
            self.ends[order_id] = (await self._lash.handle(order_id).result())["status"]
        except ProcessCancelled:
            self.ends[order_id] = "cancelled"
        except LashError as error:
            self.ends[order_id] = f"failed: {error}"

    async def _answer(self, number: int) -> None:
        """The clerk approves eight of ten orders and refuses one; the customer of the tenth cancels."""
        order = self._lash.handle(self._ids[number])
        await self._pause(self._dice.uniform(0.05, CLERK_SECONDS_MAX))
        if number % 10 == 9:
            await order.cancel(reason="not needed any more")
        else:
            approval = {"by": "clerk", "approved": number % 10 != 4}
            await order.signal("approve", approval, signal_id="approval")

    async def _customers(self) -> None:
        """Pay what they were sent an invoice for. An invoice may be paid twice; the first payment counts."""
        while not self._over.is_set():
            for invoice in await asyncio.to_thread(shop.open_invoices):
                await self._lash.resolve(invoice["token"], {"paid_cents": invoice["cents"]})
            await self._pause(0.2)

    async def _killer(self) -> None:
        while self.killed < self._kills and not self._over.is_set():
            await self._pause(self._dice.uniform(0.3, 0.9))
            if not self._over.is_set():
                self._workers.kill(self._dice.choice(sorted(self._workers.pids)))
                self.killed += 1
                self._workers.refill()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return


def count_from_outside(ends: dict[str, str], kills: int, concurrency: int) -> Outcome:
    """What the shop's file says."""
    calls = shop.calls()
    per_step = Counter((name, order_id, detail) for _, name, order_id, detail in calls)
    repeated = sum(per_step.values()) - len(per_step)
    outcome = Outcome(dict(Counter(ends.values())), 0.0, kills, len(calls), repeated)
    outcome.reminders = sum(1 for name, _, _ in per_step if name == "remind")
    shipped = sum(end == "shipped" for end in ends.values())
    if shipped < len(ends) // 2:
        outcome.wrong.append(f"{shipped} of {len(ends)} orders were shipped: the machine is too slow for this storm")
    for account, wanted in (
        ("money", CENTS * shipped),
        ("stock", shop.STOCK_AT_START - ITEMS * shipped),
        ("parcels", shipped),
    ):
        if (seen := shop.balance(account)) != wanted:
            outcome.wrong.append(f"{account} is {seen}, it must be {wanted}")
    # What runs twice was under way in a worker that was killed: no more steps than it had slots.
    if repeated > kills * concurrency:
        outcome.wrong.append(f"{repeated} calls were repeated by {kills} kills of {concurrency} slots each")
    for order_id, end in ends.items():
        outcome.wrong += [f"{order_id}: {fault}" for fault in _faults_of(order_id, end, calls)]
    return outcome


def _faults_of(order_id: str, end: str, calls: list[tuple[int, str, str, str]]) -> list[str]:
    """Totals of one order, missing steps, and steps that ran again although a later one had begun."""
    own = [(seq, name, detail) for seq, name, called_for, detail in calls if called_for == order_id]
    booked = shop.booked(order_id)
    if end == "shipped":
        wanted, stages = {"money": CENTS, "parcels": 1, "stock": -ITEMS}, SHIPPED
    elif end in {"rejected", "cancelled"}:
        # Cancelled before a worker saw it: nothing was ever called.
        wanted, stages = {}, PUT_BACK if own else ()
    else:
        return [f"it ended as {end}"]
    wrong = [] if booked == wanted else [f"it moved {booked}, it must be {wanted}"]
    packed = {detail for _, name, detail in own if name == "pack"}
    if len(packed) != (ITEMS if end == "shipped" else 0):
        wrong.append(f"{len(packed)} items were packed")
    last_seq, last_stage = 0, "the start"
    for stage in stages:
        seen = [seq for seq, name, _ in own if name == stage]
        if not seen:
            wrong.append(f"no {stage}")
        elif min(seen) < last_seq:
            wrong.append(f"{last_stage} ran again (call {last_seq}) after {stage} had begun")
        else:
            last_seq, last_stage = max(seen), stage
    return wrong


async def storm(
    *, orders: int, kills: int, workers: int, concurrency: int, seed: int, seconds_max: float, folder: Path
) -> Outcome:
    """Run it in a folder, which keeps the data and the workers' logs."""
    os.environ["ORDERS_DB"] = str(folder / "orders.sqlite3")
    data_dir = str(folder / "data")
    server = await asyncio.to_thread(ensure_embedded, EmbeddedSettings(data_dir=data_dir))
    environment = {"LASH_DATA_DIR": data_dir, "LASH_REDIS_URL": "", "LASH_EMBEDDED": "1", "LASH_PARK_AFTER_MS": "0"}
    environment |= {"ORDERS_DB": os.environ["ORDERS_DB"]}
    options = ("--concurrency", str(concurrency), "--drain-seconds", "5")
    fleet = Workers("examples.orders.app:app", options, folder, workers, environment)
    fleet.refill()
    started = time.monotonic()
    try:
        settings = Settings(store=StoreSettings(failover_grace_ms=0))
        async with LashClient.connect(server.url, app=app, settings=settings) as lash:
            await _workers_are_up(lash)
            started = time.monotonic()
            run = Storm(lash, fleet, orders, kills, random.Random(seed))
            wrong = await run.run(seconds_max)
            if not wrong and (left := await lash.count(status="running")):
                wrong.append(f"{left} processes still run")
    finally:
        await asyncio.to_thread(fleet.stop)
        await asyncio.to_thread(server.close)
    outcome = count_from_outside(run.ends, run.killed, concurrency)
    outcome.seconds = time.monotonic() - started
    outcome.wrong = wrong + outcome.wrong
    return outcome


async def _workers_are_up(lash: LashClient) -> None:
    """Wait until the first worker serves, so that its start is not part of what is measured."""

    async def is_one_up() -> bool:
        return bool(await lash.stores.directory.list_workers())

    await eventually(is_one_up, within_ms=START_MS_MAX, every_ms=50)


def main() -> int:
    """Parse options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--kills", type=int, default=12, help="workers killed with -9")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=8, help="slots of each worker")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, default=180.0, help="how long the orders may take")
    options = parser.parse_args()
    print(f"storm: seed {options.seed}, {options.orders} orders, {options.kills} kills, {options.workers} workers")
    with tempfile.TemporaryDirectory(prefix="lash-orders-") as folder:
        outcome = asyncio.run(
            storm(
                orders=options.orders,
                kills=options.kills,
                workers=options.workers,
                concurrency=options.concurrency,
                seed=options.seed,
                seconds_max=options.seconds,
                folder=Path(folder),
            )
        )
    ends = ", ".join(f"{count} {end}" for end, count in sorted(outcome.ends.items()))
    print(f"  {ends}; {ITEMS} children each, {outcome.seconds:.1f} s, {outcome.kills} workers killed")
    print(f"  {outcome.calls} calls of steps counted outside, {outcome.repeated} of them repeated after a kill")
    print(f"  {outcome.reminders} reminders")
    for fault in outcome.wrong:
        print(f"  WRONG: {fault}")
    print("everything adds up" if not outcome.wrong else f"{len(outcome.wrong)} things are wrong")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
