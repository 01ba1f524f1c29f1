"""``lash serve`` in processes of its own, over one server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lash_core.testing.servers import ValkeyServer
from lash_core.testing.waiting import eventually_sync

TOKEN = "the-token-of-these-tests-42"
_ADDRESS = re.compile(r"serving sessions at (\S+) ")


@dataclass
class Serving:
    """One ``lash serve``."""

    process: subprocess.Popen[str]
    log: list[str] = field(default_factory=list[str])

    @property
    def url(self) -> str:
        """Where it listens; "" before it does."""
        return next((found[1] for line in self.log if (found := _ADDRESS.search(line))), "")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def serving(server: ValkeyServer, *options: str) -> Generator[Serving]:
    """Start one at a free port; it is killed on exit if it still runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LASH_")}
    facts = {
        "LASH_REDIS_URL": server.url,
        "LASH_PARTITIONS": "4",
        "LASH_WEB_TOKEN": TOKEN,
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "lash_worker.cli.main", "serve", "--port", "0", *options]
    with subprocess.Popen(command, env=kept | facts, stderr=subprocess.PIPE, text=True) as process:
        started = Serving(process)
        pipe = process.stderr
        assert pipe is not None
        reader = threading.Thread(target=lambda: started.log.extend(pipe), daemon=True)
        reader.start()
        try:
            eventually_sync(lambda: bool(started.url) or process.poll() is not None, within_ms=60_000)
            assert started.url, started.log
            yield started
        finally:
            process.kill()
            process.wait(20)
            reader.join(20)
