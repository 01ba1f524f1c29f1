"""A client and a worker together, over a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from lash_core.client import LashClient
from lash_core.errors import ProcessCancelled, ProcessFailed
from lash_core.redis_store.stores import RedisStores
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.supervisor import Supervisor
from lash_worker.worker_settings import WorkerSettings

app = App("together", version="3")


@app.process("add", disposition="rerunnable")
async def add(ctx: object, params: dict[str, int]) -> int:
    return params["a"] + params["b"]


@app.process("fail", disposition="rerunnable")
async def fail(ctx: object, params: None) -> None:
    raise ValueError("no such month")


@app.process("sleep", disposition="rerunnable")
async def sleep(ctx: object, params: None) -> None:
    await asyncio.sleep(3_600)


@pytest.fixture
async def lash() -> AsyncIterator[LashClient]:
    """A client of a fleet with one worker; the client knows the kinds from the directory only."""
    settings = StoreSettings(partitions=4, failover_grace_ms=0)
    with ValkeyServer() as server:
        async with (
            RedisStores.connect(server.url, settings=settings) as worker_stores,
            RedisStores.connect(server.url, settings=settings) as client_stores,
        ):
            supervisor = Supervisor(WorkerSettings(concurrency=4, drain_seconds=0), [app], worker_stores)
            running = asyncio.ensure_future(supervisor.run())
            await eventually(lambda: _is_known(client_stores))
            try:
                yield LashClient(client_stores)
            finally:
                supervisor.request_stop()
                await running


async def _is_known(stores: RedisStores) -> bool:
    return await stores.directory.get_kind("add") is not None


async def test_a_value_comes_back(lash: LashClient) -> None:
    """Enqueue, run, result."""
    handle = await lash.enqueue("add", {"a": 2, "b": 3})

    assert 5 == await handle.result(timeout=20)
    assert "3" == (await handle.record()).app_version


async def test_an_exception_comes_back(lash: LashClient) -> None:
    """Class and code of the design, type and text of the exception."""
    handle = await lash.enqueue("fail")

    with pytest.raises(ProcessFailed, match="ValueError: no such month") as caught:
        await handle.result(timeout=20)

    assert ("execution", "process_failed") == (caught.value.class_, caught.value.code)


async def test_a_cancel_reaches_the_run_and_is_seen(lash: LashClient) -> None:
    """The reason comes back; why named the holder before."""
    handle = await lash.enqueue("sleep")
    await eventually(lambda: _runs(lash, handle.process_id))

    assert "requested" == (await handle.cancel("enough")).outcome
    with pytest.raises(ProcessCancelled, match="enough"):
        await handle.result(timeout=20)


async def _runs(lash: LashClient, process_id: str) -> bool:
    return (await lash.why(process_id)).reason == "running"
