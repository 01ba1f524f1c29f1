"""A server, a connection with short time limits, and scripts of the test's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path

import pytest

from lash_core.redis_store import scripts as scripts_module
from lash_core.redis_store.connection import RedisConnection
from lash_core.settings import StoreSettings
from lash_core.testing.servers import FaultProxy, ValkeyServer

SHORT = StoreSettings(connect_timeout_ms=2_000, call_timeout_ms=2_000, retry_deadline_ms=4_000)

Open = Callable[..., Awaitable[RedisConnection]]


@pytest.fixture
def server() -> Generator[ValkeyServer]:
    with ValkeyServer() as started:
        yield started


@pytest.fixture
def proxy(server: ValkeyServer) -> Generator[FaultProxy]:
    with FaultProxy(server.socket) as started:
        yield started


@pytest.fixture
async def connect() -> AsyncGenerator[Open]:
    """Opens connections that are closed after the test."""
    opened: list[RedisConnection] = []

    async def open_one(url: str, settings: StoreSettings = SHORT, **options: object) -> RedisConnection:
        connection = await RedisConnection.open(url, settings, **options)  # type: ignore[arg-type]
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        await connection.close()


@pytest.fixture
def add_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Puts a script where the loader finds it; returns its name."""
    includes = scripts_module.FOLDER / "includes"
    (tmp_path / "includes").symlink_to(includes)
    monkeypatch.setattr(scripts_module, "FOLDER", tmp_path)

    def add(name: str, text: str) -> str:
        (tmp_path / f"{name}.lua").write_text(text)
        return name

    return add
