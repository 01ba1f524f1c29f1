"""One logical connection to a Redis deployment.

redis-py's own retries are off: a lost reply is an answer of this module, and whether a repeat is harmless is the
caller's knowledge (DESIGN 3.3 rule 8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from redis import exceptions as redis_errors
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, OutcomeUnknownError, StoreUnreachableError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.redis_errors import is_transient, redact_url, refusal, reply_lost, unreachable
from lash_core.settings import StoreSettings

_PAUSES_MS = (10, 25, 50, 100, 200, 400)
_LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError, asyncio.TimeoutError)


class RedisConnection:
    """Pipelines commands over a bounded pool."""

    topology: Literal["single", "sentinel", "cluster"] = "single"

    def __init__(self, url: str, settings: StoreSettings, credential_provider: CredentialProvider | None = None) -> None:
        self.url = url
        self.where = redact_url(url)
        self.settings = settings
        self.credential_provider = credential_provider
        options: dict[str, Any] = {"credential_provider": credential_provider} if credential_provider else {}
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=settings.connections_max,
            timeout=settings.call_timeout_ms / 1_000,
            socket_timeout=settings.call_timeout_ms / 1_000,
            socket_connect_timeout=settings.connect_timeout_ms / 1_000,
            retry=Retry(NoBackoff(), 0),
            protocol=3,
            decode_responses=True,
            **options,
        )

    @classmethod
    async def open(
        cls, url: str, settings: StoreSettings, *, credential_provider: CredentialProvider | None = None
    ) -> RedisConnection:
        """Connect and say hello."""
        connection = cls(url, settings, credential_provider)
        await connection.read([Command("", ("PING",))])
        return connection

    async def pipeline(self, commands: Sequence[Command], *, durable: bool = False) -> list[Any]:
        """Send all, read all; error replies stand in place.

        Raises:
            StoreUnreachableError: nothing was sent. OutcomeUnknownError: the replies were lost.
        """
        try:
            connection = await self._pool.get_connection()
        except redis_errors.ResponseError as error:
            raise refusal(error, self.where) from None
        except _LOST as error:
            raise unreachable(self.where, error) from None
        try:
            await connection.send_packed_command(connection.pack_commands([command.args for command in commands]))
            replies: list[Any] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except redis_errors.ResponseError as error:
                    replies.append(error)
            return replies
        except _LOST as error:
            await connection.disconnect(nowait=True)
            raise reply_lost(self.where, error) from None
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(connection)

    async def read(self, commands: Sequence[Command]) -> list[Any]:
        """Read-only commands: repeated until the deadline; error replies are raised."""
        deadline = own_time_ms() + self.settings.retry_deadline_ms
        turn = 0
        while True:
            failure: LashError
            try:
                replies = await self.pipeline(commands)
                bad = next((reply for reply in replies if isinstance(reply, redis_errors.RedisError)), None)
                if bad is None:
                    return replies
                if not is_transient(bad):
                    raise refusal(bad, self.where)
                failure = refusal(bad, self.where)
            except (OutcomeUnknownError, StoreUnreachableError) as error:
                failure = error
            pause = _PAUSES_MS[min(turn, len(_PAUSES_MS) - 1)]
            turn += 1
            if own_time_ms() + pause > deadline:
                raise StoreUnreachableError(failure.message, field="redis_url", value=self.where)
            await asyncio.sleep(pause / 1_000)

    async def execute(self, key: str, *args: str | bytes | float, raw: bool = False) -> Any:
        """One command."""
        reply = (await self.pipeline([Command(key, args)]))[0]
        if isinstance(reply, redis_errors.RedisError):
            raise refusal(reply, self.where)
        return reply

    async def close(self) -> None:
        """Give every connection back. May be called twice."""
        await self._pool.disconnect()
