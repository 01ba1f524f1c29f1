"""A cluster: keys find their nodes, slots move, a node dies and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

import pytest

from lash_core.errors import StoreRefusedError, StoreUnreachableError
from lash_core.redis_store.cluster_routes import ClusterRoutes
from lash_core.redis_store.commands import Command
from lash_core.redis_store.connection import RedisConnection
from lash_core.redis_store.keys import Keyspace, spread_salts
from lash_core.redis_store.live_ring import LIVE_EPOCH
from lash_core.redis_store.scripts import Call, Scripts
from lash_core.redis_store.stores import RedisStores
from lash_core.redis_store.subscriptions import Subscriptions
from lash_core.testing.conformance.live_replay.arrange import heard_texts, replayed, subscribed, tell, texts_of
from lash_core.testing.servers import ValkeyCluster, ValkeyServer
from lash_core.testing.waiting import eventually
from tests.connections.conftest import SHORT, Open

pytestmark = pytest.mark.cluster

KEYS = [f"{partition.tag}:x" for partition in Keyspace("lash", spread_salts("lash", 64)).partitions]
PATIENT = SHORT.model_copy(update={"retry_deadline_ms": 20_000})


@pytest.fixture(scope="module")
def cluster() -> Generator[ValkeyCluster]:
    with ValkeyCluster() as started:
        yield started


async def test_commands_of_one_list_go_to_their_nodes(cluster: ValkeyCluster, connect: Open):
    """One call over all partitions; the replies are in the order of the commands."""
    connection = await connect(cluster.url)
    await connection.pipeline([Command(key, ("SET", key, index)) for index, key in enumerate(KEYS)])

    replies = await connection.read([Command(key, ("GET", key)) for key in KEYS])

    assert [str(index) for index in range(64)] == replies
    assert 3 == len(connection.routes.nodes())


async def test_a_cluster_is_recognised_behind_a_plain_url(cluster: ValkeyCluster, connect: Open):
    """`redis://` to any of its nodes is enough."""
    connection = await connect(cluster.masters[2].tcp_url)

    assert "cluster" == connection.topology
    assert ["OK"] * 64 == await connection.pipeline([Command(key, ("SET", key, 1)) for key in KEYS])


async def test_a_cluster_url_to_a_single_server_is_refused(connect: Open):
    """The topology asked for is not there, and that is said at once."""
    with ValkeyServer(tcp=True) as server, pytest.raises(StoreRefusedError, match="cluster support disabled"):
        await connect(server.tcp_url.replace("redis:", "redis+cluster:"))


async def test_scripts_run_on_every_node(cluster: ValkeyCluster, connect: Open, add_script: Callable[[str, str], str]):
    """Each node gets a script in full when it does not know it; the other nodes are not asked again."""
    scripts = Scripts(await connect(cluster.url))
    name = add_script("count_on_nodes", "return redis.call('INCR', KEYS[1])")
    calls = [Call(name, (f"{key}:n",), ()) for key in KEYS]

    assert [1] * 64 == await scripts.run(calls)
    for node in cluster.masters:
        with node.client() as client:
            client.script_flush()
    assert [2] * 64 == await scripts.run(calls)


async def test_a_moved_slot_is_followed(cluster: ValkeyCluster, connect: Open):
    """MOVED: the map is read again and the call goes to the new node."""
    connection = await connect(cluster.url)
    key, target = KEYS[5], _other_node(connection, cluster, KEYS[5])
    await connection.execute(key, "SET", key, "before")
    await asyncio.to_thread(cluster.move_slot, _slot(connection, key), target)

    assert "before" == await connection.execute(key, "GET", key)
    assert "OK" == await connection.execute(key, "SET", key, "after")


async def test_a_slot_on_the_move_is_asked_for(cluster: ValkeyCluster, connect: Open):
    """ASK: a key that the source does not have any more is looked for at the target, without a new map."""
    connection = await connect(cluster.url)
    key, target = KEYS[9], _other_node(connection, cluster, KEYS[9])
    await connection.execute(key, "DEL", key)
    await asyncio.to_thread(cluster.begin_move, _slot(connection, key), target)

    assert ["OK", "1"] == await connection.pipeline([Command(key, ("SET", key, 1)), Command(key, ("GET", key))])

    await asyncio.to_thread(cluster.finish_move, _slot(connection, key), target)
    assert "1" == await connection.execute(key, "GET", key)


async def test_a_dead_node_is_waited_for_and_the_others_go_on(cluster: ValkeyCluster, connect: Open):
    """Commands to the other nodes are answered meanwhile; those to the dead one when it is back."""
    connection = await connect(cluster.url, PATIENT)
    victim = cluster.masters[1]
    dead = next(key for key in KEYS if cluster.owner_of(_slot(connection, key)) is victim)
    alive = next(key for key in KEYS if cluster.owner_of(_slot(connection, key)) is not victim)
    await asyncio.to_thread(victim.kill)
    waiting = asyncio.create_task(connection.read([Command(dead, ("EXISTS", dead))]))

    assert "OK" == await connection.execute(alive, "SET", alive, "1")
    await asyncio.to_thread(victim.start)

    assert 1 == len(await waiting)


async def test_a_dead_node_is_an_error_after_the_deadline(cluster: ValkeyCluster, connect: Open):
    """Nothing was written, and the message says so by its kind."""
    connection = await connect(cluster.url, SHORT.model_copy(update={"retry_deadline_ms": 300}))
    victim = cluster.masters[1]
    dead = next(key for key in KEYS if cluster.owner_of(_slot(connection, key)) is victim)
    await asyncio.to_thread(victim.kill)
    await asyncio.sleep(0)
    try:
        with pytest.raises(StoreUnreachableError):
            await connection.execute(dead, "SET", dead, "1")
    finally:
        await asyncio.to_thread(victim.start)
        await eventually(cluster.is_complete, within_ms=20_000, every_ms=50)


async def test_subscriptions_follow_a_moved_slot(cluster: ValkeyCluster, connect: Open):
    """The node that loses the slot ends the subscription; it is taken again at the new one."""
    connection = await connect(cluster.url, PATIENT)
    heard: list[str] = []
    again: list[bool] = []
    subscriptions = Subscriptions(connection)
    subscriptions.on_reconnect = lambda: again.append(True)
    channels = [f"{key}:channel" for key in KEYS]
    for channel in channels:
        await subscriptions.subscribe(channel, lambda _, message: heard.append(message))
    target = _other_node(connection, cluster, KEYS[20])

    await asyncio.to_thread(cluster.move_slot, _slot(connection, KEYS[20]), target)
    await eventually(lambda: bool(again), within_ms=15_000)
    for index, channel in enumerate(channels):
        await connection.execute(channel, "SPUBLISH", channel, index)
    await eventually(lambda: len(heard) == 64)
    await subscriptions.close()

    assert sorted(str(index) for index in range(64)) == sorted(heard)


async def test_a_watched_session_moves_to_another_node(cluster: ValkeyCluster):
    """Its ring goes with its slot. Another node is another replication id: who watches is told, and hears on."""
    settings = PATIENT.model_copy(update={"namespace": "moving"})
    async with RedisStores.connect(cluster.url, settings=settings) as stores:
        connection = stores.context.connection
        ring = stores.context.keyspace.of_session("s").live_ring("s")
        await tell(stores, "s", "a")
        stream = await subscribed(stores, "s")
        assert ["a"] == await heard_texts(stream, 1)

        await asyncio.to_thread(cluster.move_slot, _slot(connection, ring), _other_node(connection, cluster, ring))
        await tell(stores, "s", "b", "c")

        assert [f"missed {LIVE_EPOCH}", "b", "c"] == await heard_texts(stream, 3)
        assert ["b", "c"] == texts_of(await replayed(stores, "s", 1 + LIVE_EPOCH))


async def test_a_promoted_replica_is_found(connect: Open):
    """A master dies for good: its replica takes the slots, and calls that waited are done there."""
    with ValkeyCluster(replicas=1) as cluster:
        connection = await connect(cluster.url, PATIENT)
        victim = cluster.masters[0]
        key = next(key for key in KEYS if cluster.owner_of(_slot(connection, key)) is victim)
        await connection.pipeline([Command(key, ("SET", key, "copied")), Command(key, ("WAIT", 1, 5_000))])

        await asyncio.to_thread(victim.kill)

        assert ["copied"] == await connection.read([Command(key, ("GET", key))])
        assert "OK" == await connection.execute(key, "SET", key, "written")
        assert victim.port not in {node.endpoint.port for node in connection.routes.nodes() if node.endpoint}


def _slot(connection: RedisConnection, key: str) -> int:
    assert isinstance(connection.routes, ClusterRoutes)
    return connection.routes.slot_of(key)


def _other_node(connection: RedisConnection, cluster: ValkeyCluster, key: str) -> ValkeyServer:
    owner = cluster.owner_of(_slot(connection, key))
    return next(node for node in cluster.masters if node is not owner)
