"""What tests of waiting processes have in common: a durable sleep, signals, and what a run may do."""

from __future__ import annotations

from typing import Any

from lash_core.clock import VirtualClock
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.event_type import ProcessEventType
from lash_worker.services.process_run import ProcessRun
from tests.worker.rig import Rig, registration

DAY_MS = 86_400_000


class Journal:
    """What the runs of a test remember over their attempts: due times by the store's clock, and who called what."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._due_ms: dict[str, int] = {}
        self.calls: list[str] = []

    async def sleep(self, run: ProcessRun, key: str, duration_ms: int) -> None:
        """A durable sleep."""
        waits = begun(run)
        due_ms = self._due_ms.setdefault(f"{run.process_id}:{key}", self._clock.now_ms() + duration_ms)
        await waits.sleep(max(0, due_ms - self._clock.now_ms()))


def begun(run: ProcessRun) -> Any:
    """The waits of a run that may be parked, as one with a journal may."""
    run.may_park = run.record.disposition.value == "rerunnable"
    assert run.waits is not None
    return run.waits


def signal(name: str, payload: Any = None) -> ProcessEventAppendRequest:
    """A signal."""
    return ProcessEventAppendRequest(event_type=f"signal.{name}", payload=payload)


def with_signal(process_id: str, *names: str, **facts: Any) -> Any:
    """A registration that takes signals."""
    types = tuple(ProcessEventType.signal(name, True) for name in names)
    return registration(process_id, event_types=types, **facts)


def cancel_task(run: ProcessRun) -> None:
    """Deliver a cancel to the function as the engine of apps does."""
    assert run.task is not None
    run.task.cancel()


def parked_times(rig: Rig, times: int) -> bool:
    """So many runs were parked, and nothing of them is left in memory."""
    return rig.sample("lash_processes_parked_total") == times and rig.driver.slots.resting == 0
