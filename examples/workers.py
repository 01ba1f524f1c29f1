"""Real workers of this machine, killed and replaced: what the storms of the examples have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STOP_SECONDS_MAX = 10


class Workers:
    """As many workers as wanted.

    Args:
        app: what they serve, ``module:attribute``.
        options: of ``lash worker run``.
        folder: where each worker's log goes.
        count: how many.
        environment: what they need beside this process's own environment.
    """

    def __init__(
        self, app: str, options: tuple[str, ...], folder: Path, count: int, environment: Mapping[str, str]
    ) -> None:
        # Kills are the storm's doing: nothing here is poison, however often its worker dies.
        options = (*options, "--poison-deaths-max", "0")
        self._command = [sys.executable, "-m", "lash_worker.cli.main", "worker", "run", "--app", app, *options]
        self._folder = folder
        self.count = count
        self._environment = {**os.environ, **environment}
        self._running: list[subprocess.Popen[bytes]] = []
        self.started = 0

    def refill(self) -> None:
        """Start workers until there are as many as wanted."""
        self._running = [process for process in self._running if process.poll() is None]
        while len(self._running) < self.count:
            self.started += 1
            with (self._folder / f"worker-{self.started}.log").open("wb") as log:
                process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
            self._running.append(process)

    def kill(self, pid: int) -> None:
        """SIGKILL, and take the dead one in, as any supervisor does."""
        victim = next(process for process in self._running if process.pid == pid)
        victim.kill()
        victim.wait(STOP_SECONDS_MAX)

    @property
    def pids(self) -> set[int]:
        """Those that run."""
        return {process.pid for process in self._running if process.poll() is None}

    def stop(self) -> None:
        """End all of them."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
