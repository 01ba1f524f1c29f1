"""``lash dev``, ``worker run`` and ``exporter`` as a newcomer runs them: real processes in a folder of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lash_core.client import LashClient
from lash_core.settings import load_settings
from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually_sync

T = TypeVar("T")

pytestmark = pytest.mark.faults

APP = """
import asyncio
from lash_worker import App

app = App("reports", version="1")
VERSION = "old"

@app.process("report.build", disposition="rerunnable", signals={"go": dict})
async def build(ctx, params: dict) -> dict:
    if params.get("forever"):
        while VERSION == "old":
            await asyncio.sleep(0.05)
    return {"version": VERSION, "attempt": ctx.attempt}
"""
NEW_APP = APP.replace('"old"\n', '"new"\n')
LASH = (sys.executable, "-m", "lash_worker.cli.main")


class Folder:
    """A newcomer's folder with an app in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.app = path / "reports.py"
        self.app.write_text(APP)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LASH_")}
        self.environment = kept

    def lash(self, *args: str, code: int = 0, **environment: str) -> Any:
        """Run a command and return its JSON."""
        ended = subprocess.run(
            (*LASH, *args, "--json"),
            cwd=self.path,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code == ended.returncode, ended
        return json.loads(ended.stdout) if ended.stdout else None

    @contextmanager
    def running(self, *args: str, **environment: str) -> Generator[subprocess.Popen[str]]:
        """A long-running command; stopped at the end."""
        log = (self.path / f"{args[0]}.log").open("a")
        process = subprocess.Popen(
            (*LASH, *args), cwd=self.path, env={**self.environment, **environment}, stderr=log, stdout=log, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(30)
            log.close()

    def log(self, name: str) -> str:
        """What a long-running command has printed."""
        return (self.path / f"{name}.log").read_text()

    def ask(self, work: Callable[[LashClient], Awaitable[T]]) -> T:
        """Look into the folder's fleet from this process: much cheaper than a command each time."""

        async def main() -> T:
            settings = load_settings({"LASH_DATA_DIR": str(self.path / ".lash")})
            async with LashClient.connect(settings=settings) as client:
                return await work(client)

        return asyncio.run(main())

    def worker_pids(self) -> list[int]:
        """Pids of live workers."""
        return [entry.pid for entry in self.ask(lambda lash: lash.stores.directory.list_workers())]

    def is_held(self, process_id: str) -> bool:
        """Whether a worker runs it now."""
        return self.ask(lambda lash: lash.stores.process_registry.get_process_lease(process_id)) is not None

    def await_start(self, times: int = 1) -> None:
        """Wait until ``lash dev`` has started a worker that many times."""
        eventually_sync(lambda: self.log("dev").count("serves default") >= times, within_ms=30_000)

    def await_held_process(self) -> None:
        """Start a process that the old code never ends, and wait until it runs."""
        self.ask(lambda lash: lash.enqueue("report.build", {"forever": True}, process_id="p"))
        eventually_sync(lambda: self.is_held("p"), within_ms=20_000, every_ms=50)

    def await_result(self, seconds: float) -> Any:
        """The value of that process."""
        return self.ask(lambda lash: lash.handle("p").result(timeout=seconds))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_running_work_goes_on_under_changed_code(folder: Folder) -> None:
    """Reload yields; the same process ends with the new code in a later attempt."""
    with folder.running("dev", "--app", "reports:app"):
        folder.await_start()
        folder.await_held_process()
        folder.app.write_text(NEW_APP)

        value = folder.await_result(30)

    assert "new" == value["version"]
    assert value["attempt"] >= 2
    assert "running work yields to the new code" in folder.log("dev")


def test_a_second_run_on_the_same_folder_goes_on_without_a_wait(folder: Folder) -> None:
    """No failover grace on a private server: nothing of it can have been promoted."""
    with folder.running("dev", "--app", "reports:app"):
        folder.await_start()
        folder.await_held_process()
    folder.app.write_text(NEW_APP)
    with folder.running("dev", "--app", "reports:app"):
        folder.await_start(2)

        value = folder.await_result(10)

    assert "new" == value["version"]


def test_a_worker_that_is_killed_is_replaced_and_one_that_cannot_start_waits_for_a_change(folder: Folder) -> None:
    """A crash is no reason to stop; code that does not load is told and waited for."""
    with folder.running("dev", "--app", "reports:app") as dev:
        folder.await_start()
        os.kill(folder.worker_pids()[0], signal.SIGKILL)
        folder.await_start(2)
        folder.app.write_text("this is no Python")
        eventually_sync(lambda: "waiting for a changed file" in folder.log("dev"), within_ms=30_000)
        folder.app.write_text(APP)
        folder.await_start(3)
        assert dev.poll() is None
    assert 0 == dev.returncode


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_the_worker_ends_with_a_killed_supervisor(folder: Folder) -> None:
    """Old code must not go on beside new code."""
    with folder.running("dev", "--app", "reports:app") as dev:
        folder.await_start()
        worker = folder.worker_pids()[0]
        dev.kill()
        dev.wait(10)
        eventually_sync(lambda: is_gone(worker), within_ms=30_000)


def test_the_exporter_serves_metrics_discovery_and_readiness(folder: Folder) -> None:
    """Ready while the fleet can be read, not ready while its server is gone, ready again after."""
    with ValkeyServer() as server:
        environment = {"LASH_REDIS_URL": server.url, "LASH_CALL_TIMEOUT_MS": "500", "LASH_RETRY_DEADLINE_MS": "500"}
        folder.lash("enqueue", "k", "--disposition", "rerunnable", code=0, **environment)
        with folder.running("exporter", "--port", "0", "--log-format", "json", **environment) as exporter:
            eventually_sync(lambda: "listens on" in folder.log("exporter"), within_ms=30_000)
            line = next(line for line in folder.log("exporter").splitlines() if "listens on" in line)
            url = json.loads(line)["message"].rpartition(" ")[2]

            assert (200, "lash_fleet_up 1.0") == (fetch(f"{url}/healthz")[0], metric(url, "lash_fleet_up"))
            assert 'lash_ready{queue="default"} 1.0' == metric(url, "lash_ready{")
            assert (200, []) == (fetch(f"{url}/readyz")[0], json.loads(fetch(f"{url}/sd")[1]))
            assert 404 == fetch(f"{url}/other")[0]
            server.kill()
            eventually_sync(lambda: fetch(f"{url}/readyz")[0] == 503, within_ms=20_000, every_ms=100)
            assert "lash_fleet_up 0.0" == metric(url, "lash_fleet_up")
            server.restart()
            eventually_sync(lambda: fetch(f"{url}/readyz")[0] == 200, within_ms=20_000, every_ms=100)
            exporter.terminate()
            assert 0 == exporter.wait(20)


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(url: str, name: str) -> str:
    return next(line for line in fetch(f"{url}/metrics")[1].splitlines() if line.startswith(name))
