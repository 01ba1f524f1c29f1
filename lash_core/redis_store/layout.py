"""The layout of a namespace: partitions, salts, versions. Made once, adopted by every client, never changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from redis.credentials import CredentialProvider

from lash_core.errors import CorruptRecordError, SettingsError, StoreLayoutError
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT
from lash_core.redis_store.commands import Command
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.content import put_content_call
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import PARTITION_COUNTS, PARTITIONS_DEFAULT, Keyspace, layout_key, spread_salts
from lash_core.redis_store.scripts import Call, Scripts
from lash_core.redis_store.signing import open_signing_secrets
from lash_core.settings import StoreSettings
from lash_core.store.process_env_store import ENVIRONMENT_FAMILY

LAYOUT_VERSION = 1
"""Shape of the keys. A client refuses a newer one."""

WRITE_VERSION = 1
"""Record version that a fresh namespace is written with."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the layout key holds.

    Attributes:
        version: of the keys' shape.
        write_version: of the records that clients write; ``lash upgrade`` raises it.
        salts: one a partition.
        created_at_ms: by the server's clock.
    """

    version: int
    write_version: int
    salts: tuple[str, ...]
    created_at_ms: int

    @property
    def partitions(self) -> int:
        """Number of partitions."""
        return len(self.salts)


async def open_context(
    url: str,
    settings: StoreSettings,
    *,
    credential_provider: CredentialProvider | None = None,
    test_clock: bool = False,
) -> RedisContext:
    """Connect, check the server, adopt the namespace's layout and signing secret or make them. Safe to repeat.

    Args:
        url: as in ``address.py``.
        settings: ``partitions`` None adopts what is there, else it must be the same.
        credential_provider: any redis-py credential provider.
        test_clock: scripts read the clock through an offset key. Tests only.

    Raises:
        SettingsError: the URL or the number of partitions is wrong. StoreLayoutError: the namespace has another layout.
        StoreUnreachableError, StoreRefusedError: as ``RedisConnection.open``.
    """
    if settings.partitions is not None and settings.partitions not in PARTITION_COUNTS:
        raise SettingsError(
            f"LASH_PARTITIONS is {settings.partitions}; it must be one of {', '.join(map(str, PARTITION_COUNTS))}",
            field="LASH_PARTITIONS",
            value=settings.partitions,
        )
    connection = await RedisConnection.open(url, settings, credential_provider=credential_provider)
    try:
        scripts = Scripts(connection, test_clock=test_clock)
        layout = await read_layout(connection, settings.namespace)
        if layout is None:
            layout = await _make_layout(connection, scripts, settings)
        _check(layout, settings)
        signing = await open_signing_secrets(connection, settings)
    except BaseException:
        await connection.close()
        raise
    keyspace = Keyspace(settings.namespace, layout.salts)
    return RedisContext(connection, scripts, keyspace, settings, test_clock, signing)


async def read_layout(connection: RedisConnection, namespace: str) -> Layout | None:
    """The namespace's layout, or None when it has none yet.

    Raises:
        CorruptRecordError: the key holds something else. StoreUnreachableError, StoreRefusedError: no answer.
    """
    key = layout_key(namespace)
    fields: Any = (await connection.read([Command(key, ("HGETALL", key))]))[0]
    if not fields:
        return None
    try:
        return Layout(
            version=int(fields["v"]),
            write_version=int(fields["write_version"]),
            salts=tuple(str(salt) for salt in json.loads(fields["salts"])),
            created_at_ms=int(fields["created_at_ms"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        if str(fields.get("v", "")).isdigit() and int(fields["v"]) > LAYOUT_VERSION:
            raise _newer(namespace, int(fields["v"])) from None
        raise CorruptRecordError(f"the layout key {key} cannot be read: {error!r}", key=key) from error


async def _make_layout(connection: RedisConnection, scripts: Scripts, settings: StoreSettings) -> Layout:
    """Write the layout unless somebody else was faster, then read what counts; and the empty environment."""
    namespace = settings.namespace
    salts = spread_salts(namespace, settings.partitions or PARTITIONS_DEFAULT)
    digest = EMPTY_ENV_REF.rpartition(":")[2]
    environment = put_content_call(Keyspace(namespace, salts), ENVIRONMENT_FAMILY, digest, EMPTY_ENVIRONMENT.encode())
    await scripts.run([environment], durable=True)
    args = (LAYOUT_VERSION, WRITE_VERSION, json.dumps(salts, separators=(",", ":")))
    await scripts.run([Call("create_layout", (layout_key(namespace),), args)], durable=True)
    layout = await read_layout(connection, namespace)
    if layout is None:
        raise StoreLayoutError(
            f"the layout of namespace {namespace!r} was removed while it was made", field="namespace", value=namespace
        )
    return layout


def _check(layout: Layout, settings: StoreSettings) -> None:
    if layout.version > LAYOUT_VERSION:
        raise _newer(settings.namespace, layout.version)
    if settings.partitions is not None and layout.partitions != settings.partitions:
        raise StoreLayoutError(
            f"namespace {settings.namespace!r} has {layout.partitions} partitions, LASH_PARTITIONS asks for "
            f"{settings.partitions}; unset it to use what is there",
            field="LASH_PARTITIONS",
            value=settings.partitions,
            limit=layout.partitions,
        )


def _newer(namespace: str, version: int) -> StoreLayoutError:
    return StoreLayoutError(
        f"namespace {namespace!r} has layout {version}, this release knows layout {LAYOUT_VERSION}; upgrade this "
        "program",
        field="namespace",
        value=version,
        limit=LAYOUT_VERSION,
    )
