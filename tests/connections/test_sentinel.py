"""Sentinels name the master; a failover is followed."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.errors import StoreRefusedError, StoreUnreachableError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.subscriptions import Subscriptions
from lash_core.testing.servers import SentinelDeployment, free_port
from lash_core.testing.waiting import eventually
from tests.connections.conftest import SHORT, Open

PATIENT = SHORT.model_copy(update={"retry_deadline_ms": 20_000})


async def test_a_failover_is_followed(connect: Open):
    """Calls made while there is no master wait for the new one; so do subscriptions."""
    with SentinelDeployment() as deployment:
        connection = await connect(deployment.url, PATIENT)
        assert "sentinel" == connection.topology
        heard: list[str] = []
        subscriptions = Subscriptions(connection)
        await subscriptions.subscribe("{a}:c", lambda _, message: heard.append(message))
        with pytest.raises(StoreRefusedError, match="does not know master 'nobody'"):
            await connect(deployment.url.replace("/lash", "/nobody"))
        await connection.pipeline([Command("{a}", ("SET", "{a}", "1")), Command("{a}", ("WAIT", 1, 2_000))])

        failover = asyncio.create_task(asyncio.to_thread(deployment.fail_over))
        await eventually(lambda: not connection.routes.nodes()[0].is_connected)
        assert ["1"] == await connection.read([Command("{a}", ("GET", "{a}"))])
        assert "OK" == await connection.execute("{a}", "SET", "{a}", "2")
        await failover

        async def rings() -> bool:
            return await connection.execute("{a}:c", "SPUBLISH", "{a}:c", "after") == 1

        await eventually(rings, within_ms=10_000)
        await eventually(lambda: heard == ["after"])
        await subscriptions.close()


async def test_no_sentinel_answers(connect: Open):
    """All of them are named."""
    ports = free_port(), free_port()
    url = f"redis+sentinel://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/lash"

    with pytest.raises(StoreUnreachableError, match=rf"127.0.0.1:{ports[0]}.*127.0.0.1:{ports[1]}"):
        await connect(url, SHORT.model_copy(update={"connect_timeout_ms": 200}))
