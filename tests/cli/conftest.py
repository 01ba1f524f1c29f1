"""``lash`` in this process, over a real server of the module and a namespace of the test."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from lash_core.client import LashClient
from lash_core.testing.servers import ValkeyServer
from lash_worker.cli.main import run

T = TypeVar("T")
_NAMESPACES = itertools.count()


@dataclass(frozen=True, slots=True)
class Ended:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Standard output as one JSON value a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, Any]:
        """The JSON error on standard error."""
        return json.loads(self.err.splitlines()[-1])["error"]


class Lash:
    """Runs command lines, and lets a test look behind them."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str) -> Ended:
        self._capsys.readouterr()
        code = run(args)
        out, err = self._capsys.readouterr()
        return Ended(code, out, err)

    def ok(self, *args: str) -> Ended:
        """Run and require exit code 0."""
        ended = self(*args)
        assert 0 == ended.code, ended
        return ended

    def behind(self, work: Callable[[LashClient], Awaitable[T]]) -> T:
        """Do something with a client of the same namespace."""

        async def main() -> T:
            async with LashClient.connect() as client:
                return await work(client)

        return asyncio.run(main())


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def lash(server: ValkeyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lash:
    """``lash`` in a namespace of its own with few partitions."""
    monkeypatch.setenv("LASH_REDIS_URL", server.url)
    monkeypatch.setenv("LASH_NAMESPACE", f"t{next(_NAMESPACES)}")
    monkeypatch.setenv("LASH_PARTITIONS", "4")
    monkeypatch.setenv("LASH_FAILOVER_GRACE_MS", "0")
    monkeypatch.delenv("LASH_APP", raising=False)
    return Lash(capsys)
