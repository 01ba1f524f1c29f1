"""How many occurrences a second one namespace takes in: all its triggers are in one partition (docs/adr/0130).

Run: python -m benchmarks.triggers [--occurrences 5000]. Starts a private server. "Server" is the CPU of the server's
main thread, hence the ceiling of a namespace whatever the number of senders; "program" is what one sender reaches.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from lash_core.client import LashClient
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.manifest import KindManifest
from lash_core.model.trigger import TriggerDefinition, TriggerOwnerScope, TriggerTarget
from lash_core.model.trigger_command import RegisterTrigger
from lash_core.model.trigger_occurrence import TriggerOccurrence
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer

AT_ONCE = 64
MANIFEST = KindManifest(kind="job", disposition=RecoveryDisposition.RERUNNABLE)


class Declared:
    """The kind of this benchmark."""

    def manifests(self) -> dict[str, KindManifest]:
        return {"job": MANIFEST}


@asynccontextmanager
async def opened(url: str, namespace: str) -> AsyncGenerator[LashClient]:
    """A client of a namespace of its own."""
    async with RedisStores.connect(url, settings=StoreSettings(namespace=namespace)) as stores:
        yield LashClient(stores, app=Declared())


async def subscribe(lash: LashClient, source_of: Callable[[int], str], count: int) -> None:
    """Register ``count`` triggers."""

    async def one(number: int) -> None:
        await lash.stores.triggers.apply_trigger_command(
            RegisterTrigger(
                operation_id=f"op-{number}",
                owner_scope=TriggerOwnerScope.host(),
                subscription_key=f"t-{number}",
                definition=TriggerDefinition("webhook", source_of(number), TriggerTarget("job", params={"n": 1})),
            )
        )

    await many(count, one)


async def many(count: int, one: Callable[[int], Awaitable[object]], at_once: int = AT_ONCE) -> None:
    """Run ``one`` for each number, so many at once."""
    numbers = iter(range(count))

    async def sender() -> None:
        for number in numbers:
            await one(number)

    await asyncio.gather(*(sender() for _ in range(at_once)))


async def server_cpu(lash: LashClient) -> float:
    """CPU seconds of the server's main thread: what a busy machine does not distort."""
    stores = lash.stores
    assert isinstance(stores, RedisStores)
    text = str(await stores.context.connection.execute("", "INFO", "cpu", raw=True)).replace("\\r\\n", "\n")
    facts = dict(line.split(":", 1) for line in text.splitlines() if line.startswith("used_cpu"))
    return float(facts["used_cpu_user_main_thread"]) + float(facts["used_cpu_sys_main_thread"])


async def measure(url: str, name: str, matching: int, others: int, occurrences: int) -> None:
    """One setting: ingest alone, then emit with its starts."""
    at_once = max(1, AT_ONCE // max(1, matching))
    async with opened(url, name) as lash:
        await subscribe(lash, lambda number: "hot" if number < matching else f"cold-{number}", matching + others)
        store = lash.stores.triggers
        # The first call of a script sends its text, and counts elsewhere.
        await store.ingest_occurrence(TriggerOccurrence("webhook", "hot", "warm-up"))
        busy = await server_cpu(lash)
        started = time.perf_counter()
        await many(
            occurrences, lambda n: store.ingest_occurrence(TriggerOccurrence("webhook", "hot", f"i-{n}", {"n": n}))
        )
        seconds = time.perf_counter() - started
        per_call = (await server_cpu(lash) - busy) / occurrences * 1_000_000
        print(
            f"{name}: ingest  server {per_call:8.0f} us a call, ceiling {1_000_000 / per_call:7.0f}/s; "
            f"program {occurrences / seconds:7.0f}/s"
        )
    async with opened(url, f"{name}e") as lash:
        await subscribe(lash, lambda number: "hot" if number < matching else f"cold-{number}", matching + others)
        started = time.perf_counter()
        await many(
            occurrences, lambda n: lash.triggers.emit("webhook:hot", {"n": n}, idempotency_key=f"e-{n}"), at_once
        )
        seconds = time.perf_counter() - started
        starts = occurrences * matching
        print(f"{name}: emit    program {occurrences / seconds:7.0f}/s = {starts / seconds:7.0f} processes/s")


async def main(occurrences: int) -> None:
    """Each setting on a server of its own."""
    for name, matching, others, count in (
        ("one", 1, 0, occurrences),
        ("one-of-1000", 1, 999, occurrences),
        ("none-of-1000", 0, 1_000, occurrences),
        ("ten", 10, 0, occurrences // 10),
        ("thousand", 1_000, 0, max(10, occurrences // 500)),
    ):
        with ValkeyServer() as server:
            await measure(server.url, name, matching, others, count)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--occurrences", type=int, default=5_000)
    asyncio.run(main(parser.parse_args().occurrences))
