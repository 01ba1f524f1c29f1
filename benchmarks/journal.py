"""What journals cost: replay of recorded steps, a step's round trips, fifty steps at once.

``python -m benchmarks.journal [--steps 10000] [--json]``: a process of many steps runs once on a server of its own and
is replayed; the store's calls are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from lash_core import RedisStores
from lash_core.model.await_output import Success
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.effect_record import EffectAnswer, EffectWrite
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import Acquired, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.direct_effects import LeasedRun
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.testing.servers import ValkeyServer
from lash_worker import App, DurableProcessWorkerConfig, ProcessContext

app = App("journal")


@app.process("chain", disposition="rerunnable")
async def chain(ctx: ProcessContext, params: int) -> int:
    """One step after the other."""
    total = 0
    for number in range(params):
        total += await ctx.step("add", plus_one, number, key=str(number))
    return total


@app.process("fan", disposition="rerunnable")
async def fan(ctx: ProcessContext, params: int) -> int:
    """All steps at once."""
    return sum(await ctx.gather(*(ctx.step("add", plus_one, n, key=str(n)) for n in range(params))))


async def plus_one(number: int) -> int:
    return number + 1


class CountingJournal:
    """Counts the calls that write."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal
        self._write = journal.record_effects
        self.calls = 0
        journal.record_effects = self.record_effects

    async def record_effects(
        self, lease: ProcessLease, writes: Sequence[EffectWrite], *, first_started: ProcessStarted | None = None
    ) -> tuple[EffectAnswer, ...]:
        self.calls += 1
        return await self._write(lease, writes, first_started=first_started)


class Held:
    """A lease that stays as it was claimed."""

    def __init__(self, lease: ProcessLease) -> None:
        self.lease = lease
        self.lost = False

    def require(self) -> ProcessLease:
        return self.lease


async def run_twice(stores: RedisStores, kind: str, steps: int) -> tuple[float, float, int]:
    """Seconds of the first run and of its replay, and the calls that wrote."""
    registry = stores.process_registry
    registration = ProcessRegistration(
        f"{kind}-{steps}", ProcessInput.engine(kind, steps), RecoveryDisposition.RERUNNABLE, env_ref=EMPTY_ENV_REF
    )
    record = await registry.register_process(registration)
    outcome = await registry.claim_process_lease(record.id, LeaseOwnerIdentity.opaque("bench", "1"), 600_000)
    if not isinstance(outcome, Acquired):
        raise TypeError(f"{record.id} is held by another")
    held, counting = Held(outcome.lease), CountingJournal(stores.effect_journal)
    factory = app.plugin_factory(record_tracebacks=False)
    config = DurableProcessWorkerConfig(
        PluginHost([factory]), RuntimeHostConfig.from_stores(stores), stores.session_store_factory, registry
    )
    seconds: list[float] = []
    for _ in range(2):
        effects = stores.effect_host.scoped_run(LeasedRun(record.id, held))
        context = ProcessExecutionContext(run_lease=held, record=record)
        began = time.perf_counter()
        output = await ProcessRunner(config).run_process(registration, context, effects, CancellationToken())
        seconds.append(time.perf_counter() - began)
        if output != Success(value=steps * (steps + 1) // 2):
            raise RuntimeError(f"{kind} of {steps} answered {output}")
    factory.close()
    return seconds[0], seconds[1], counting.calls


async def measure(url: str, steps: int) -> dict[str, float]:
    async with RedisStores.connect(url, namespace="journal") as stores:
        chain_first, chain_replay, chain_calls = await run_twice(stores, "chain", steps)
        fan_first, fan_replay, fan_calls = await run_twice(stores, "fan", 50)
    return {
        "steps": steps,
        "step_us": chain_first / steps * 1e6,
        "writes_a_step": chain_calls / steps,
        "replay_seconds": chain_replay,
        "replay_step_us": chain_replay / steps * 1e6,
        "fan_of_50_ms": fan_first * 1e3,
        "fan_of_50_writes": fan_calls,
        "fan_of_50_replay_ms": fan_replay * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with ValkeyServer(tcp=True) as server:
        figures = asyncio.run(measure(server.tcp_url, asked.steps))
    if asked.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:,.2f}")


if __name__ == "__main__":
    main()
