"""The way out of memory when something goes wrong on it."""

from __future__ import annotations

import logging

import pytest

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.runtime.run_waits import ParkPoint
from lash_core.testing.waiting import eventually
from lash_worker.services.process_run import ProcessRun
from tests.worker.parking_kit import begun, parked_times, with_signal
from tests.worker.rig import running


async def test_a_run_that_could_not_be_parked_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in between is said, and costs a second."""
    park, faults = ProcessRun.park, list[str]()

    def faulty(run: ProcessRun, point: ParkPoint) -> None:
        faults.append(run.process_id)
        if len(faults) == 1:
            raise ValueError("a bug")
        park(run, point)

    monkeypatch.setattr(ProcessRun, "park", faulty)

    async def body(run: ProcessRun) -> AnyAwaitOutput:
        await begun(run).signal("signal.go", 1)
        return ProcessAwaitOutput.success()

    with caplog.at_level(logging.CRITICAL, logger="lash_worker.services.parker"):
        async with running(InMemoryStores(), body, park_after_ms=0) as rig:
            await rig.put(with_signal("p", "go"))
            await eventually(lambda: parked_times(rig, 1))

    assert ["p", "p"] == faults
