"""The demo's workers: real processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STOP_SECONDS_MAX = 20
"""A worker that does not stop within this time is killed: the demo must end."""


class DemoWorkers:
    """Starts workers that share the demo's server, and stops them whatever happens.

    Args:
        environment: what the workers need beside this process's own environment.
        log_dir: where each worker's stderr goes.
        concurrency: slots of each worker.
    """

    def __init__(self, environment: Mapping[str, str], log_dir: Path, concurrency: int) -> None:
        self._environment = {**os.environ, **environment}
        self._log_dir = log_dir
        self._concurrency = concurrency
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        """Start one more worker."""
        number = len(self._processes) + 1
        command = [
            sys.executable,
            "-m",
            "lash_worker.cli.main",
            "worker",
            "run",
            "--app",
            "lash_worker.demo.census:app",
        ]
        command += ["--concurrency", str(self._concurrency), "--drain-seconds", "5", "--log-format", "json"]
        with (self._log_dir / f"worker-{number}.log").open("wb") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)  # noqa: S603 - own command
        self._processes.append(process)
        return process

    def of_pid(self, pid: int) -> subprocess.Popen[bytes] | None:
        """The worker with this pid."""
        return next((process for process in self._processes if process.pid == pid), None)

    def kill(self, pid: int) -> None:
        """SIGKILL, and take the dead one in: a peer counts a zombie as alive, since it cannot know better."""
        process = self.of_pid(pid)
        if process is not None:
            process.kill()
            process.wait(STOP_SECONDS_MAX)

    def dead(self) -> list[int]:
        """Exit codes of workers that ended by themselves."""
        return [process.returncode for process in self._processes if process.poll() not in (None, -signal.SIGKILL)]

    def stop(self) -> None:
        """SIGTERM to all, then wait."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
