"""Real MCP servers for the tests here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

PROGRAM = str(Path(__file__).with_name("server_program.py"))


class HttpServer:
    """The program on a port of its own; started again on the same one."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, "http", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NO_COLOR": "1"},
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def http_server() -> Iterator[HttpServer]:
    server = HttpServer()
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def other_http_server() -> Iterator[HttpServer]:
    """One for a test that kills it."""
    server = HttpServer()
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Closes(Protocol):
    """What is closed."""

    def close(self) -> None: ...


@pytest.fixture
def closing() -> Iterator[Callable[[Closes], None]]:
    """Takes what is closed at the end of the test."""
    taken: list[Closes] = []
    yield taken.append
    for one in taken:
        one.close()
