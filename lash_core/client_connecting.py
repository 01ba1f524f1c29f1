"""A connection in the making: what ``LashClient.connect`` returns."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.client import LashClient


class Connecting:
    """A connection in the making: ``await`` it for a client to close yourself, or use it in ``async with``."""

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, LashClient]]) -> None:
        self.open = connect
        self._client: LashClient | None = None

    def __await__(self) -> Generator[Any, None, LashClient]:
        return self.open().__await__()

    async def __aenter__(self) -> LashClient:
        self._client = await self.open()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
