"""An app whose isolated kinds run in real work-horses, under a worker in this program."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from lash_core import LashClient
from lash_core.memory_store import InMemoryStores
from lash_core.settings import Settings
from lash_core.testing.waiting import eventually
from lash_worker.app import load_app
from lash_worker.isolation.horses import Horses
from lash_worker.isolation.opening import open_horses
from lash_worker.supervisor import Supervisor
from lash_worker.worker_settings import WorkerSettings

APP_PATH = "tests.isolation.horse_app:app"


@dataclass
class Barn:
    """A worker with two work-horses, and a client."""

    lash: LashClient
    supervisor: Supervisor
    horses: Horses


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def barn() -> AsyncGenerator[Barn]:
    """One for a module: runners take half a second to start."""
    app = load_app(APP_PATH)
    stores = InMemoryStores()
    horses = await open_horses(2, [app], Settings())
    supervisor = Supervisor(WorkerSettings(), [app], stores, horses)
    await supervisor.start()
    try:
        async with asyncio.timeout(30):
            await horses.ready()
        yield Barn(LashClient(stores, app=app), supervisor, horses)
    finally:
        await supervisor.stop()


@pytest.fixture
def process_id(request: pytest.FixtureRequest) -> str:
    """An id of the test's own."""
    return request.node.name


def is_alive(pid: int) -> bool:
    """False for a process that is gone, and for a zombie that its parent has not reaped."""
    try:
        os.kill(pid, 0)
        return not re.search(r"\) Z ", Path(f"/proc/{pid}/stat").read_text())
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return sys.platform != "linux"


async def pids_of(folder: Path, process_id: str) -> list[int]:
    """Of a ``wait`` horse and of the child that it started."""
    path = folder / f"{process_id}.pids"
    await eventually(path.exists, within_ms=10_000)
    return [int(pid) for pid in path.read_text().split()]
