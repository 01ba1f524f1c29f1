"""A worker in a process of its own, whose memory and CPU can be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS_MAX = 60


class Worker:
    """A worker process.

    Args:
        app: what it serves, ``module:attribute``.
        url: the server of the benchmark.
        options: of ``lash worker run``.
    """

    def __init__(self, app: str, url: str, *options: str) -> None:
        command = [sys.executable, "-m", "lash_worker.cli.main", "worker", "run", "--app", app, *options]
        environment = {**os.environ, "LASH_REDIS_URL": url, "LASH_EMBEDDED": "0", "LASH_FAILOVER_GRACE_MS": "0"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def memory_mb(self) -> float:
        """Resident memory (Linux)."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000

    def stop(self) -> None:
        """Drain and wait."""
        self.process.terminate()
        self.process.wait(STOP_SECONDS_MAX)
