"""A namespace has one layout for ever: made once, adopted by everybody, never bent."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.errors import CorruptRecordError, SettingsError, StoreLayoutError
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT
from lash_core.redis_store.keys import layout_key
from lash_core.redis_store.layout import open_context, read_layout
from lash_core.settings import StoreSettings
from lash_core.testing.servers import ValkeyServer


async def test_many_first_clients_agree(server: ValkeyServer):
    """Twenty clients that ask for different layouts at once: one wins, those that asked for another are told."""
    wanted = [4, 16, 64, 256] * 5

    async def open_one(partitions: int) -> int | StoreLayoutError:
        try:
            context = await open_context(server.url, StoreSettings(partitions=partitions))
        except StoreLayoutError as error:
            return error
        await context.connection.close()
        return len(context.keyspace.partitions)

    answers = await asyncio.gather(*(open_one(partitions) for partitions in wanted))

    agreed = {answer for answer in answers if isinstance(answer, int)}
    assert 1 == len(agreed)
    (winner,) = agreed
    for asked, answer in zip(wanted, answers, strict=True):
        assert (asked == winner) == isinstance(answer, int)


async def test_a_layout_is_adopted(server: ValkeyServer):
    """Who asks for nothing gets what is there; the default is 64."""
    first = await open_context(server.url, StoreSettings(namespace="small", partitions=4))
    second = await open_context(server.url, StoreSettings(namespace="small"))
    default = await open_context(server.url, StoreSettings(namespace="other"))
    layout = await read_layout(first.connection, "small")
    for context in (first, second, default):
        await context.connection.close()

    assert first.keyspace.salts == second.keyspace.salts
    assert 64 == len(default.keyspace.partitions)
    assert layout is not None
    assert (1, 1, 4) == (layout.version, layout.write_version, layout.partitions)
    assert 1_700_000_000_000 < layout.created_at_ms


async def test_another_number_of_partitions_is_refused(server: ValkeyServer):
    """The message has both numbers."""
    await (await open_context(server.url, StoreSettings(partitions=16))).connection.close()

    with pytest.raises(StoreLayoutError, match="has 16 partitions, LASH_PARTITIONS asks for 64") as caught:
        await open_context(server.url, StoreSettings(partitions=64))

    assert (64, 16) == (caught.value.value, caught.value.limit)


async def test_a_number_of_partitions_that_is_none(server: ValkeyServer):
    """Only the counts that spread evenly are allowed."""
    with pytest.raises(SettingsError, match="must be one of 1, 4, 16, 64, 256"):
        await open_context(server.url, StoreSettings(partitions=7))


async def test_a_newer_layout_is_refused(server: ValkeyServer):
    """Also when its fields are not those of this release."""
    with server.client() as client:
        client.hset(layout_key("lash"), mapping={"v": "2", "something": "else"})

    with pytest.raises(StoreLayoutError, match="has layout 2, this release knows layout 1"):
        await open_context(server.url, StoreSettings())


async def test_a_broken_layout_is_named(server: ValkeyServer):
    """Nothing is written over it."""
    with server.client() as client:
        client.hset(layout_key("lash"), mapping={"v": "1", "salts": "[", "write_version": "1", "created_at_ms": "1"})

    with pytest.raises(CorruptRecordError, match="layout key"):
        await open_context(server.url, StoreSettings())

    with server.client() as client:
        assert "[" == client.hget(layout_key("lash"), "salts")


async def test_the_empty_environment_is_there_from_the_start(server: ValkeyServer):
    """Plain processes refer to it, so it exists before the first of them."""
    context = await open_context(server.url, StoreSettings())
    key = context.keyspace.environment(EMPTY_ENV_REF.rpartition(":")[2])
    stored = await context.connection.execute(key, "GET", key, raw=True)
    await context.connection.close()

    assert stored.endswith(EMPTY_ENVIRONMENT.encode())


async def test_the_report_comes_with_the_context():
    """Warnings reach whoever opens the stores."""
    with ValkeyServer(arguments=("--appendonly", "no")) as server:
        context = await open_context(server.url, StoreSettings())
        warnings = context.report.warnings
        await context.connection.close()

    assert "no persistence at all" in warnings[0]
