"""A fleet of real worker processes on a private server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event_type import ProcessEventType
from lash_core.model.manifest import WorkerEntry
from lash_core.model.process_input import ProcessInput
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
EXIT_SECONDS = 15
START_MS_MAX = 60_000
"""A worker imports a second of code first, which is twenty where many share a core; one that ends is seen at once."""


class Worker:
    """One OS process that runs ``lash worker run``."""

    def __init__(self, name: str, url: str, log_folder: Path, options: Sequence[str], environ: dict[str, str]) -> None:
        self.name = name
        self.log_path = log_folder / f"{name}.log"
        command = [sys.executable, "-m", "lash_worker.cli.main", "worker", "run", "--worker-id", name]
        command += ["--app", "tests.faults.fault_app:app", "--log-format", "json", *options]
        settings = {"LASH_REDIS_URL": url, "LASH_FAILOVER_GRACE_MS": "0", "LASH_EMBEDDED": "0"}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **settings, **environ}, stdout=log, stderr=log
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``, and reap it as a supervisor would."""
        self.process.kill()
        self.process.wait(EXIT_SECONDS)

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(EXIT_SECONDS)

    @property
    def log(self) -> str:
        """What it logged."""
        return self.log_path.read_text(errors="replace")


class Fleet:
    """Workers, and a client's view of the store."""

    def __init__(self, url: str, folder: Path, options: Sequence[str], environ: dict[str, str]) -> None:
        self.url = url
        self.workers: dict[str, Worker] = {}
        self._folder = folder
        self._options = tuple(options)
        self._environ = environ
        self.stores: RedisStores

    async def add(
        self, name: str, *options: str, url: str | None = None, environ: dict[str, str] | None = None
    ) -> Worker:
        """Start a worker and wait until the directory has it."""
        worker = Worker(
            name, url or self.url, self._folder, [*self._options, *options], self._environ | (environ or {})
        )
        self.workers[name] = worker
        await eventually(lambda: self._is_listed(name, worker.process.pid), within_ms=START_MS_MAX, every_ms=50)
        return worker

    async def _is_listed(self, name: str, pid: int) -> bool:
        worker = self.workers[name]
        # Looked at before the directory is: a worker that was listed and died since is no failed start.
        has_ended = worker.process.poll() is not None
        if any(entry.pid == pid for entry in await self.stores.directory.list_workers()):
            return True
        if has_ended:
            raise AssertionError(f"{name} ended with {worker.process.returncode}: {worker.log}")
        return False

    async def entry(self, name: str) -> WorkerEntry:
        """A worker's entry in the directory."""
        return next(entry for entry in await self.stores.directory.list_workers() if entry.worker_id == name)

    async def put(self, kind: str, ids: Sequence[str], payload: Any = None, **facts: Any) -> None:
        """Register processes of a kind."""
        values: dict[str, Any] = {
            "disposition": RecoveryDisposition.RERUNNABLE,
            "env_ref": EMPTY_ENV_REF,
            "event_types": (ProcessEventType(name="started"),),
        }
        registrations = [
            ProcessRegistration(id=name, input=ProcessInput.engine(kind, payload), **(values | facts)) for name in ids
        ]
        for outcome in await self.stores.process_registry.register_processes(registrations):
            assert "created" == outcome.status, outcome.error

    async def end_of(self, process_id: str, within_seconds: float = 30) -> ProcessRecord:
        """The row once it is terminal."""
        try:
            async with asyncio.timeout(within_seconds):
                return await self.stores.process_registry.await_terminal(process_id)
        except TimeoutError:
            logs = "\n".join(f"--- {worker.name}\n{worker.log[-3_000:]}" for worker in self.workers.values())
            raise AssertionError(f"{process_id} did not end within {within_seconds} s\n{logs}") from None

    async def holder(self, process_id: str) -> str | None:
        """Name of the worker that holds a process."""
        lease = await self.stores.process_registry.get_process_lease(process_id)
        return None if lease is None else lease.owner.owner_id

    async def events(self, process_id: str, event_type: str) -> list[Any]:
        """Payloads of the events of a type."""
        events = await self.stores.process_registry.events_after(process_id, 0)
        return [event.payload for event in events if event.event_type == event_type]

    async def check_one_outcome_each(self, ids: Sequence[str]) -> None:
        """One terminal event a process, and fences that strictly rise over its attempts."""
        for process_id in ids:
            events = await self.stores.process_registry.events_after(process_id, 0)
            terminal = [event.event_type for event in events if event.semantics.terminal is not None]
            assert 1 == len(terminal), (process_id, terminal)
            assert list(range(1, len(events) + 1)) == [event.sequence for event in events]
            payloads: list[Any] = [event.payload for event in events if event.event_type == "started"]
            fences = [payload["fence"] for payload in payloads]
            assert sorted(set(fences)) == fences, (process_id, fences)

    async def metric(self, name: str, sample: str) -> float:
        """A sample of a worker's ``/metrics``; 0 when it is not there."""
        text = await asyncio.to_thread(_get, f"{(await self.entry(name)).metrics_url}/metrics")
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text[1], re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    async def leases_lost(self, name: str) -> int:
        """Leases that a worker lost, whichever came first: its own deadline, or a renewal or write that was refused."""
        _, text = await asyncio.to_thread(_get, f"{(await self.entry(name)).metrics_url}/metrics")
        return sum(int(float(count)) for count in re.findall(r"(?m)^lash_leases_lost_total\{.*\} (\S+)$", text))

    async def readiness(self, name: str, metrics_url: str | None = None) -> tuple[int, Any]:
        """Status and answer of a worker's ``/readyz``."""
        url = metrics_url or (await self.entry(name)).metrics_url
        status, text = await asyncio.to_thread(_get, f"{url}/readyz")
        return status, json.loads(text)


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def seconds_until(predicate: Callable[[], Awaitable[bool]], within_ms: int = 10_000) -> float:
    """How long a predicate takes to hold."""
    started = time.monotonic()
    await eventually(predicate, within_ms=within_ms)
    return time.monotonic() - started


@asynccontextmanager
async def fleet(
    url: str, *options: str, environ: dict[str, str] | None = None, client_url: str | None = None
) -> AsyncGenerator[Fleet]:
    """A fleet without workers; all workers are gone afterwards. Its own view may take another way to the server."""
    with tempfile.TemporaryDirectory(prefix="lash-faults-") as folder:
        made = Fleet(url, Path(folder), options, environ or {})
        settings = StoreSettings(failover_grace_ms=0)
        async with RedisStores.connect(client_url or url, settings=settings) as stores:
            made.stores = stores
            try:
                yield made
            finally:
                for worker in made.workers.values():
                    if worker.process.poll() is None:
                        worker.signal(signal.SIGCONT)
                        worker.kill()
