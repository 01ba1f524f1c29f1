"""A storm over the chat agent: ``python -m examples.chat.storm``.

Three workers on a private server. Customers talk to the clerk, each in a session of its own, and wait for every answer;
meanwhile workers are killed with -9 in the middle of turns and replaced. Then the same conversations are held again,
calmly, by one worker on a server of its own, and the histories are compared message by message. From outside it is
counted how often model and tools were called: what was recorded was not called again, every order was delivered once.

Prints a summary and exits 1 when anything differs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from examples.chat import desk, model
from examples.chat.app import app
from examples.workers import Workers
from lash_core.client import LashClient
from lash_core.client_session import SessionHandle
from lash_core.model.message import Message
from lash_core.redis_store.embedded import ensure_embedded
from lash_core.settings import EmbeddedSettings, Settings, StoreSettings
from lash_core.testing.model_server import ModelServer
from lash_core.testing.waiting import eventually

ITEMS = ("mug", "lamp", "chair")
ROUND = (
    "What is the price of a {item}, and how many {item}s are left?",
    "Order 2 {item}s",
    "How many chairs are left?",
    "Thank you",
)
ANSWER_SECONDS_MAX = 180.0
"""A turn whose workers died again and again waits up to a minute for the next one."""
START_MS_MAX = 60_000
WORD_DELAY_MS = 15
BETWEEN_KILLS_SECONDS = (0.3, 1.0)
LOOK_SECONDS = 0.02
OTHERS_MIN = 1
"""A worker is killed only while so many others serve."""
_PROCESS_ID = re.compile(r"(?<=delivery )\S+|(?<=Process: )\S+|P-[0-9a-f]{8}")
"""Names of deliveries and parcels: they differ from run to run, and mean nothing to the conversation."""
_ORDERED = re.compile(r"assistant: \[\d+\] \w+: ordered")


@dataclass(frozen=True, slots=True)
class Plan:
    """How hard it blows."""

    sessions: int = 6
    rounds: int = 3
    kills: int = 12
    workers: int = 3
    concurrency: int = 4
    seed: int = 1


@dataclass
class Talk:
    """What one run left behind.

    Attributes:
        histories: session → its messages, one line each, without names that differ from run to run.
        model_calls: requests that the model's server saw.
        tool_calls: (tool, session and call id, item) → how often it was called.
        parcels: how many were packed, and how many of them are different ones.
    """

    histories: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    model_calls: int = 0
    tool_calls: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    parcels: tuple[int, int] = (0, 0)
    kills: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list[str])


class Storm:
    """One run: customers, and maybe a killer."""

    def __init__(self, lash: LashClient, workers: Workers, clerk: ModelServer, plan: Plan) -> None:
        self._lash = lash
        self._workers = workers
        self._clerk = clerk
        self._names = [f"customer-{number}" for number in range(plan.sessions)]
        self._conversation = [
            text.format(item=ITEMS[number % len(ITEMS)]) for number in range(plan.rounds) for text in ROUND
        ]
        self._kills = plan.kills
        self._dice = random.Random(plan.seed)
        self._over = asyncio.Event()
        self.talk = Talk()

    async def run(self) -> Talk:
        """Everything at once, until all conversations are over."""
        started = time.monotonic()
        killer = asyncio.create_task(self._killer())
        try:
            await asyncio.gather(*(self._customer(name) for name in self._names))
        finally:
            self._over.set()
            await killer
        self.talk.seconds = time.monotonic() - started
        for name in self._names:
            session = self._lash.session(name)
            await session.park(ANSWER_SECONDS_MAX)
            self.talk.histories[name] = [line_of(message) for message in await session.history()]
        return self.talk

    async def _customer(self, name: str) -> None:
        session = self._lash.session(name)
        for number, text in enumerate(self._conversation):
            # The key makes the message one, however often it is sent.
            sent = await session.send(text, source_key=f"message-{number}")
            try:
                turn = await sent.answer(ANSWER_SECONDS_MAX)
            except TimeoutError:
                self.talk.wrong.append(f"{name}: no answer to {text!r} within {ANSWER_SECONDS_MAX:.0f} s")
                return
            if turn.final_text is None:
                self.talk.wrong.append(f"{name}: {text!r} ended as {turn.outcome.to_json_value()}")
            if "Order" in text:
                await self._delivered(name, session, number // len(ROUND) + 1)

    async def _delivered(self, name: str, session: SessionHandle, times: int) -> None:
        """The delivery tells the session by itself."""

        async def told() -> bool:
            return times <= sum("Good news!" in message.text for message in await session.history())

        try:
            await eventually(told, within_ms=int(ANSWER_SECONDS_MAX * 1_000), every_ms=50)
        except AssertionError:
            self.talk.wrong.append(f"{name}: its order was not delivered")

    async def _killer(self) -> None:
        """Kill whoever is in the middle of a turn, while others are there to go on with it.

        A turn whose workers die again and again before they did anything waits longer each time: that is how a fleet
        protects itself from a poisonous one, and not what is to be seen here.
        """
        seen = 0
        while self.talk.kills < self._kills and not self._over.is_set():
            await self._pause(self._dice.uniform(*BETWEEN_KILLS_SECONDS))
            while not self._over.is_set():
                at_work, up = await self._at_work()
                if at_work and len(up) >= OTHERS_MIN + 1 and len(self._clerk.requests) > seen:
                    self._workers.kill(self._dice.choice(at_work))
                    self.talk.kills += 1
                    seen = len(self._clerk.requests)
                    self._workers.refill()
                    break
                await self._pause(LOOK_SECONDS)

    async def _at_work(self) -> tuple[list[int], list[int]]:
        """Workers that are in the middle of a turn (to kill an idle one tests nothing), and all that serve."""
        sessions, _ = await self._lash.list_sessions(limit=100)
        names = {session.lease_owner_id for session in sessions}
        up = [entry for entry in await self._lash.stores.directory.list_workers() if entry.pid in self._workers.pids]
        return sorted(entry.pid for entry in up if entry.worker_id in names), [entry.pid for entry in up]

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return


def line_of(message: Message) -> str:
    """A message in one line: role, text, tool calls and results."""
    parts = (part.to_json_value() for part in message.parts)
    shown = (str(part.get("text") or [part.get("tool_name"), part.get("args"), part.get("output")]) for part in parts)
    return _PROCESS_ID.sub("…", f"{message.role}: {' | '.join(shown)}")


async def talk(folder: Path, plan: Plan) -> Talk:
    """Hold all conversations once, on a server and books of their own."""
    await asyncio.to_thread(folder.mkdir)
    os.environ["CHAT_DESK"] = str(folder / "desk.sqlite")
    data_dir = str(folder / "data")
    server = await asyncio.to_thread(ensure_embedded, EmbeddedSettings(data_dir=data_dir))
    async with ModelServer(lambda ask: model.answer(ask, WORD_DELAY_MS), models=("desk-clerk",)) as clerk:
        environment = {"LASH_DATA_DIR": data_dir, "LASH_REDIS_URL": "", "LASH_EMBEDDED": "1"}
        environment |= {"CHAT_MODEL_URL": clerk.base_url, "CHAT_DESK": os.environ["CHAT_DESK"]}
        options = ("--session-concurrency", str(plan.concurrency))
        fleet = Workers("examples.chat.app:app", options, folder, plan.workers, environment)
        fleet.refill()
        try:
            settings = Settings(store=StoreSettings(failover_grace_ms=0))
            async with LashClient.connect(server.url, app=app, settings=settings) as lash:
                await _workers_are_up(lash)
                held = await Storm(lash, fleet, clerk, plan).run()
        finally:
            await asyncio.to_thread(fleet.stop)
            await asyncio.to_thread(server.close)
        held.model_calls = len(clerk.requests)
    calls = desk.calls()
    held.tool_calls = Counter(
        (name, f"{session} {call}", item) for name, session, call, item in calls if name != "pack"
    )
    packed = [process_id for name, process_id, _, _ in calls if name == "pack"]
    held.parcels = (len(packed), len(set(packed)))
    return held


async def _workers_are_up(lash: LashClient) -> None:
    """Wait until the first worker serves, so that its start is not part of what is measured."""

    async def is_one_up() -> bool:
        return bool(await lash.stores.directory.list_workers())

    await eventually(is_one_up, within_ms=START_MS_MAX, every_ms=50)


def compare(stormy: Talk, calm: Talk, concurrency: int) -> list[str]:
    """What differs between the two.

    An order's own answer is left out: when its turn was redone late, the delivery was faster and reached that very
    turn, which then answers both at once.
    """
    wrong = [*stormy.wrong, *(f"in the calm: {fault}" for fault in calm.wrong)]
    for name, lines in calm.histories.items():
        wrong += [f"{name}: {fault}" for fault in _differences(stormy.histories.get(name, []), lines)]
    if set(stormy.tool_calls) != set(calm.tool_calls):
        wrong.append(f"other tools were called: {set(stormy.tool_calls) ^ set(calm.tool_calls)}")
    # What was called twice was under way in a worker that was killed: no more than it had places.
    may_repeat = stormy.kills * concurrency
    if stormy.model_calls - calm.model_calls > may_repeat:
        wrong.append(
            f"{stormy.model_calls - calm.model_calls} model calls more than in the calm, after {stormy.kills} kills"
        )
    if repeated(stormy) > 2 * may_repeat:
        wrong.append(f"{repeated(stormy)} tool calls were repeated by {stormy.kills} kills")
    if stormy.parcels[1] != calm.parcels[1]:
        wrong.append(f"{stormy.parcels[1]} orders were delivered, it must be {calm.parcels[1]}")
    return wrong


def repeated(held: Talk) -> int:
    """Tool calls beyond the first of each."""
    return sum(held.tool_calls.values()) - len(held.tool_calls)


def _differences(seen: list[str], wanted: list[str]) -> Iterable[str]:
    seen, wanted = ([line for line in lines if not _ORDERED.match(line)] for lines in (seen, wanted))
    if len(seen) != len(wanted):
        yield f"its history has {len(seen)} messages, it must have {len(wanted)}"
    for number, (one, other) in enumerate(zip(seen, wanted, strict=False)):
        if one != other:
            yield f"message {number} is {one[:160]!r}, it must be {other[:160]!r}"
            return


async def storm(folder: Path, plan: Plan) -> list[str]:
    """The stormy run, the calm one, and what differs."""
    stormy = await talk(folder / "stormy", plan)
    one = max(plan.concurrency, plan.sessions)
    calm = await talk(folder / "calm", replace(plan, kills=0, workers=1, concurrency=one))
    messages = sum(map(len, stormy.histories.values()))
    print(
        f"  {plan.sessions} conversations, {messages} messages, {stormy.seconds:.1f} s, {stormy.kills} workers killed"
    )
    print(f"  {stormy.model_calls} model calls; without kills {calm.model_calls}, in {calm.seconds:.1f} s")
    print(f"  {sum(stormy.tool_calls.values())} tool calls, {repeated(stormy)} of them repeated after a kill")
    print(f"  {stormy.parcels[1]} orders delivered")
    return compare(stormy, calm, plan.concurrency)


def main() -> int:
    """Parse options, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--kills", type=int, default=12, help="workers killed with -9")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=4, help="turns at once of each worker")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rounds", type=int, default=3, help="of four messages each, in every conversation")
    plan = Plan(**vars(parser.parse_args()))
    print(f"storm: seed {plan.seed}, {plan.kills} kills, {plan.workers} workers")
    with tempfile.TemporaryDirectory(prefix="lash-chat-") as folder:
        wrong = asyncio.run(storm(Path(folder), plan))
    for fault in wrong:
        print(f"  WRONG: {fault}")
    print("both runs tell the same" if not wrong else f"{len(wrong)} things are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
