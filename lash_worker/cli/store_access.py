"""Connecting for one command: at most 5 s, one clear error, closed at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from lash_core.client import LashClient
from lash_core.errors import StoreUnreachableError
from lash_core.redis_store.redact import redact_url
from lash_core.redis_store.stores import RedisStores
from lash_core.store.client_stores import DeclaredKinds
from lash_worker.cli.effective_settings import GIVE_UP_MS, prompt_settings
from lash_worker.cli.invocation import Invocation

T = TypeVar("T")


async def open_client(invocation: Invocation, app: DeclaredKinds | None = None) -> LashClient:
    """A connected client. Raises: StoreUnreachableError after 5 s, StoreRefusedError, SettingsError."""
    settings = prompt_settings(invocation)
    try:
        async with asyncio.timeout(GIVE_UP_MS / 1_000):
            return await LashClient.connect(settings=settings, app=app)
    except TimeoutError as error:
        raise no_answer(settings.redis_url or "the embedded server") from error


def no_answer(url: str) -> StoreUnreachableError:
    """The error of a server that was waited for long enough."""
    where = redact_url(url)
    return StoreUnreachableError(f"{where} could not be reached within {GIVE_UP_MS} ms", value=where, limit=GIVE_UP_MS)


def with_client(
    invocation: Invocation, body: Callable[[LashClient], Awaitable[T]], *, app: DeclaredKinds | None = None
) -> T:
    """Connect, run ``body``, close."""

    async def run() -> T:
        client = await open_client(invocation, app)
        try:
            return await body(client)
        finally:
            await client.close()

    return asyncio.run(run())


def redis_stores(lash: LashClient) -> RedisStores:
    """The stores behind a connected client, for what only Redis has: its server and its layout."""
    if not isinstance(lash.stores, RedisStores):
        raise TypeError(f"{type(lash.stores).__name__} are no Redis stores")
    return lash.stores


def use_working_folder() -> None:
    """Put the working folder on ``sys.path``, so that ``--app module:attr`` finds what lies there."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
