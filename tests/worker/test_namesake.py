"""Two live workers of one id."""

from __future__ import annotations

import logging

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_worker.app import App
from lash_worker.supervisor import Supervisor
from lash_worker.worker_settings import WorkerSettings


async def test_a_second_worker_of_a_live_ones_id_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The second one works, and warns that the two share a line of the directory."""
    settings = WorkerSettings(worker_id="twin", drain_seconds=0)
    async with InMemoryStores() as stores:
        first, second = Supervisor(settings, [App("a")], stores), Supervisor(settings, [App("a")], stores)
        try:
            await first.start()
            with caplog.at_level(logging.WARNING):
                await second.start()
        finally:
            await second.stop()
            await first.stop()

    assert ["another worker is called twin"] == [
        record.message.split(" (")[0] for record in caplog.records if "another worker" in record.message
    ]
