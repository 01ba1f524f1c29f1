"""``lash worker run --isolated N``: real workers whose work-horses live and die with them."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lash_core.client_enqueue import StartPlan
from lash_core.client_handle import ProcessHandle
from lash_core.model.await_output import Success
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually
from lash_worker.app import load_app
from tests.faults.fleet import Fleet, fleet
from tests.isolation.conftest import APP_PATH, is_alive, pids_of

pytestmark = pytest.mark.faults

ISOLATED = ("--app", APP_PATH, "--isolated", "1")


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def workers(server: ValkeyServer) -> AsyncGenerator[Fleet]:
    """A fleet with default settings."""
    async with fleet(server.url) as made:
        yield made


async def put(made: Fleet, kind: str, process_id: str, params: Any) -> None:
    """Start an isolated kind."""
    plan = StartPlan(load_app(APP_PATH).manifests()[kind], {}, None)
    await made.stores.process_registry.register_process(plan.registration(process_id, params))


def children_of(pid: int) -> list[int]:
    """Of a process and of its children: runners, horses, servers."""
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return found + [below for child in found for below in children_of(child)]


def has_rq_keys(server: ValkeyServer) -> bool:
    """Whether RQ ever wrote there."""
    with server.client() as client:
        return any(str(key).startswith("rq:") for key in client.scan_iter(count=1_000))


async def test_horses_of_a_killed_worker_die_and_a_peer_goes_on(
    workers: Fleet, server: ValkeyServer, tmp_path: Path
) -> None:
    """With all that they started, also what ignores signals; and RQ wrote nothing into the fleet's server."""
    victim = await workers.add("victim", *ISOLATED)
    await put(workers, "wait", "p", {"folder": str(tmp_path), "stubborn": True})
    pids = await pids_of(tmp_path, "p")
    (tmp_path / "p.pids").unlink()
    victim.kill()

    await eventually(lambda: not any(is_alive(pid) for pid in pids), within_ms=5_000)
    await workers.add("peer", *ISOLATED)
    await pids_of(tmp_path, "p")
    assert "peer" == await workers.holder("p")
    assert not has_rq_keys(server)


async def test_a_drain_hands_isolated_work_over_without_its_horse(workers: Fleet, tmp_path: Path) -> None:
    """The row is released when the horse is gone; runners and the private server end with the worker."""
    worker = await workers.add("first", *ISOLATED, "--drain-seconds", "0")
    await put(workers, "wait", "p", {"folder": str(tmp_path)})
    pids = await pids_of(tmp_path, "p")
    children = children_of(worker.process.pid)
    assert len(children) >= 2
    worker.signal(signal.SIGTERM)

    assert 0 == worker.wait()
    assert not any(is_alive(pid) for pid in [*pids, *children])
    assert "cleaned up" == (tmp_path / "p.ended").read_text()
    record = await workers.stores.process_registry.get_process("p")
    assert record is not None
    assert not record.is_terminal
    entries = await workers.stores.process_registry.audit_entries("p")
    assert ["yield"] == [entry.kind for entry in entries]


async def test_a_worker_without_horses_leaves_isolated_kinds_alone(workers: Fleet) -> None:
    """``why`` says what is missing; a worker that has horses takes the row."""
    await workers.add("plain", "--app", APP_PATH)
    await put(workers, "sum", "p", {"a": 1, "b": 2})
    assert "sum" not in (await workers.entry("plain")).kinds

    async def is_explained() -> bool:
        return "--isolated N" in (await ProcessHandle(workers.stores, "p").why()).text

    await eventually(is_explained, within_ms=10_000)
    await workers.add("isolated", *ISOLATED)
    record = await workers.end_of("p")
    assert isinstance(record.await_output, Success)
    assert {"isolated": 1} == (await workers.entry("isolated")).facts


async def test_the_queue_may_be_on_another_server_but_not_on_the_fleets(workers: Fleet, server: ValkeyServer) -> None:
    """Its URL comes from the environment; RQ writes there and nowhere else."""
    with pytest.raises(AssertionError, match="is the fleet's own server"):
        await workers.add("refused", *ISOLATED, environ={"LASH_ISOLATION_REDIS_URL": workers.url})
    assert 2 == workers.workers["refused"].wait()
    with ValkeyServer() as other:
        await workers.add("isolated", *ISOLATED, environ={"LASH_ISOLATION_REDIS_URL": other.url})
        await put(workers, "sum", "p", {"a": 1, "b": 2})
        await workers.end_of("p")

        assert has_rq_keys(other)
        assert not has_rq_keys(server)
