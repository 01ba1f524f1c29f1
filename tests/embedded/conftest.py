"""A data folder whose server is gone after the test, and other processes that use it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from lash_core.redis_store.embedded import EmbeddedServer, ensure_embedded
from lash_core.settings import EmbeddedSettings

REPOSITORY = Path(__file__).resolve().parents[2]

Use = Callable[..., EmbeddedServer]


class UserProcess:
    """Another process that uses the embedded server of a folder."""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-m", "tests.embedded.user_program", str(data_dir)]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._url = ""

    @property
    def url(self) -> str:
        """Waits for the process to have the server."""
        if not self._url:
            self._url = self._read()
        return self._url

    def close_server(self) -> None:
        """It stops using the server, and lives on."""
        assert self.process.stdin is not None
        self.process.stdin.write("close\n")
        self.process.stdin.flush()
        assert "closed" == self._read()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Ends it and its pipes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.process.stdout.close()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the other process ended early"
        return line


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def use(data_dir: Path) -> Generator[Use]:
    """Uses the folder's server in this process; closed after the test."""
    servers: list[EmbeddedServer] = []

    def use_one(folder: Path = data_dir, server_bin: str | None = None) -> EmbeddedServer:
        servers.append(ensure_embedded(EmbeddedSettings(data_dir=str(folder), server_bin=server_bin)))
        return servers[-1]

    yield use_one
    for server in servers:
        server.close()


@pytest.fixture
def other_user(data_dir: Path) -> Generator[Callable[[], UserProcess]]:
    """Starts other processes that use the folder's server."""
    processes: list[UserProcess] = []

    def start() -> UserProcess:
        processes.append(UserProcess(data_dir))
        return processes[-1]

    yield start
    for process in processes:
        process.end()
