"""What every Redis store needs: connection, scripts, keys, settings."""

from __future__ import annotations

from dataclasses import dataclass

from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.keys import Keyspace
from lash_core.redis_store.scripts import Scripts
from lash_core.redis_store.server_checks import ServerReport
from lash_core.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class RedisContext:
    """One namespace of one deployment.

    Attributes:
        clock_offset: the test loader's clock is in use.
    """

    connection: RedisConnection
    scripts: Scripts
    keyspace: Keyspace
    settings: StoreSettings
    clock_offset: bool = False

    @property
    def report(self) -> ServerReport:
        """What the server said of itself at the last connect, with warnings for people."""
        return self.connection.report
