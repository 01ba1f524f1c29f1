"""A master, its replica and three sentinels for tests; a failover takes about two seconds."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lash_core.redis_store.embedded_process import spawn_bound, stop_child
from lash_core.testing.valkey_cluster import ask_node
from lash_core.testing.valkey_server import ValkeyServer, free_port, server_binary
from lash_core.testing.waiting import eventually_sync

MASTER_NAME = "lash"
SENTINELS = 3
QUORUM = 2
DOWN_AFTER_MS = 500
FAILOVER_MS_MAX = 30_000


class SentinelDeployment:
    """Two servers, one a replica of the other, watched by three sentinels.

    Args:
        arguments: more options of both servers.
    """

    def __init__(self, *, arguments: tuple[str, ...] = ()) -> None:
        self.servers = [ValkeyServer(tcp=True, arguments=arguments) for _ in range(2)]
        self.sentinel_ports: list[int] = []
        self._folder = Path(tempfile.mkdtemp(prefix="lash-test-"))
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        """``redis+sentinel://…`` with all sentinels."""
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports) + f"/{MASTER_NAME}"

    @property
    def master(self) -> ValkeyServer:
        """The server that is the master now, by its own word."""
        return next(server for server in self.servers if _is_running(server) and _role(server) == "master")

    @property
    def replica(self) -> ValkeyServer:
        """The other one."""
        master = self.master
        return next(server for server in self.servers if server is not master)

    def start(self) -> Self:
        """Start everything and wait until the sentinels know the replica and each other."""
        try:
            with ThreadPoolExecutor(len(self.servers)) as pool:
                list(pool.map(ValkeyServer.start, self.servers))
            first, second = self.servers
            ask_node(second, "REPLICAOF", "127.0.0.1", first.port)
            eventually_sync(lambda: "master_link_status:up" in _info(second), within_ms=FAILOVER_MS_MAX, every_ms=20)
            for number in range(SENTINELS):
                self._start_sentinel(number, first.port)
            eventually_sync(self._is_watched, within_ms=FAILOVER_MS_MAX, every_ms=50)
        except BaseException:
            self.stop()
            raise
        return self

    def fail_over(self) -> None:
        """SIGKILL the master and wait until the replica is promoted and all sentinels name it."""
        old, new = self.master, self.replica
        old.kill()
        eventually_sync(
            lambda: _role(new) == "master" and self._named_ports() == {new.port}, within_ms=FAILOVER_MS_MAX, every_ms=50
        )

    def stop(self) -> None:
        """Stop everything and remove all data. May be called twice."""
        for process in self._sentinels:
            stop_child(process)
        for server in self.servers:
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_sentinel(self, number: int, master_port: int) -> None:
        port = free_port()
        config = self._folder / f"sentinel-{number}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self._folder}\nlogfile {self._folder}/sentinel-{number}.log\n"
            f"sentinel monitor {MASTER_NAME} 127.0.0.1 {master_port} {QUORUM}\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {MASTER_NAME} 3000\n"
        )
        self.sentinel_ports.append(port)
        self._sentinels.append(spawn_bound([str(server_binary()), str(config), "--sentinel"]))

    def _is_watched(self) -> bool:
        for port in self.sentinel_ports:
            facts = _ask_sentinel(port, "SENTINEL", "MASTER", MASTER_NAME)
            if facts is None:
                return False
            known = dict(zip(facts[::2], facts[1::2], strict=True))
            if known["num-slaves"] != "1" or known["num-other-sentinels"] != str(SENTINELS - 1):
                return False
        return True

    def _named_ports(self) -> set[int]:
        answers = [
            _ask_sentinel(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME) for port in self.sentinel_ports
        ]
        return {int(answer[1]) if answer else 0 for answer in answers}


def _ask_sentinel(port: int, *command: str) -> Any:
    client = redis.Redis(port=port, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=2, protocol=2)
    with closing(client):
        client.response_callbacks.clear()
        try:
            return client.execute_command(*command)
        except redis.RedisError:
            return None


def _info(server: ValkeyServer) -> str:
    try:
        return str(ask_node(server, "INFO", "replication", raw=True))
    except redis.ConnectionError:
        # Sentinels end the connections of clients when they change a role.
        return ""


def _role(server: ValkeyServer) -> str:
    return "master" if "role:master" in _info(server) else "replica"


def _is_running(server: ValkeyServer) -> bool:
    return server.process is not None and server.process.poll() is None
