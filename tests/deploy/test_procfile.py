"""The Procfile's lines work on the embedded server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lash_core.testing.servers import free_port
from tests.deploy.fleet_commands import ROOT, fetch, running, until


def procfile() -> dict[str, str]:
    """Name → command line."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command.strip() for name, command in (line.split(":", 1) for line in lines if line.strip())}


@pytest.mark.faults
def test_all_lines_start_survive_a_kill_and_stop_on_sigterm(tmp_path: Path) -> None:
    """They start on one embedded server; SIGTERM ends them with 0."""
    port, web_port = free_port(), free_port()
    environment = {
        "LASH_APP": "examples.reports:app",
        "LASH_DATA_DIR": str(tmp_path / "lash"),
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LASH_REDIS_URL": "",
        "LASH_WEB_TOKEN": "",
    }
    lines = procfile()
    with (
        running("exec " + lines["worker"], environment) as worker,
        running("exec " + lines["exporter"], environment) as exporter,
        running("exec " + lines["web"], environment | {"PORT": str(web_port)}) as web,
    ):
        until(lambda: 200 == fetch(f"http://127.0.0.1:{web_port}/sessions")[0])
        until(lambda: 'lash_workers{state="running"} 1.0' in fetch(f"http://127.0.0.1:{port}/metrics")[1])
        worker.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == worker.wait(10)
        until(lambda: "lash_fleet_up 1.0" in fetch(f"http://127.0.0.1:{port}/metrics")[1])
        with running("exec " + lines["worker"], environment) as second:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "lash_worker.cli.main",
                    "enqueue",
                    "report.build",
                    "--payload",
                    '{"month": "2026-10"}',
                    "--id",
                    "r-1",
                ],
                env={**os.environ, **environment},
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            )
            assert "r-1" in done.stdout
            result = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "lash_worker.cli.main",
                    "process",
                    "result",
                    "r-1",
                    "--wait",
                    "--timeout",
                    "20",
                    "--json",
                ],
                env={**os.environ, **environment},
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            )
            assert "report of 2026-10" in result.stdout
            second.send_signal(signal.SIGTERM)
            assert 0 == second.wait(20)
        for process in (exporter, web):
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(20)
