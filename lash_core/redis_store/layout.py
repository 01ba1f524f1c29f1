"""The layout of a namespace: partitions, salts, versions; created once and adopted by every client."""

from __future__ import annotations

import json

from redis.credentials import CredentialProvider

from lash_core.errors import SettingsError, StoreLayoutError
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import PARTITION_COUNTS, PARTITIONS_DEFAULT, Keyspace, layout_key, spread_salts
from lash_core.redis_store.scripts import Scripts
from lash_core.settings import StoreSettings

LAYOUT_VERSION = 1


async def open_context(
    url: str,
    settings: StoreSettings,
    *,
    credential_provider: CredentialProvider | None = None,
    test_clock: bool = False,
) -> RedisContext:
    """Connect, check the server, adopt or create the layout."""
    connection = await RedisConnection.open(url, settings, credential_provider=credential_provider)
    try:
        salts = await _adopt(connection, settings)
    except BaseException:
        await connection.close()
        raise
    keyspace = Keyspace(settings.namespace, salts)
    context = RedisContext(connection, Scripts(connection, test_clock=test_clock), keyspace, settings, test_clock)
    key = keyspace.environment(EMPTY_ENV_REF.rpartition(":")[2])
    await connection.execute(key, "SET", key, EMPTY_ENVIRONMENT.encode(), "NX")
    return context


async def _adopt(connection: RedisConnection, settings: StoreSettings) -> tuple[str, ...]:
    wanted = settings.partitions
    if wanted is not None and wanted not in PARTITION_COUNTS:
        raise SettingsError(
            f"LASH_PARTITIONS is {wanted}; it must be one of {PARTITION_COUNTS}", field="LASH_PARTITIONS", value=wanted
        )
    key = layout_key(settings.namespace)
    salts = spread_salts(settings.namespace, wanted or PARTITIONS_DEFAULT)
    fresh = json.dumps({"v": LAYOUT_VERSION, "salts": salts, "write_version": 1})
    await connection.execute(key, "HSETNX", key, "layout", fresh)
    stored = json.loads(await connection.execute(key, "HGET", key, "layout"))
    if stored["v"] > LAYOUT_VERSION:
        raise StoreLayoutError(
            f"namespace {settings.namespace} has layout version {stored['v']}; this release knows {LAYOUT_VERSION}",
            field="namespace",
            value=settings.namespace,
            limit=LAYOUT_VERSION,
        )
    if wanted is not None and len(stored["salts"]) != wanted:
        raise StoreLayoutError(
            f"namespace {settings.namespace} has {len(stored['salts'])} partitions; LASH_PARTITIONS asks for {wanted}",
            field="LASH_PARTITIONS",
            value=wanted,
            limit=len(stored["salts"]),
        )
    return tuple(stored["salts"])
