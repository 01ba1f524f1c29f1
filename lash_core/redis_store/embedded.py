"""The embedded server: a private Valkey or Redis beside the code, shared by all lash processes of one data folder.

* ``lash.lock`` is held by the server itself, so two servers never run on one folder.
* ``users.lock`` is held, shared, by each process that uses the server; who can take it alone is the last one and
  stops it.
* ``server.json`` says who wrote the data and where the running server listens.

The server ends with the process that started it (on macOS it stays, and is adopted). Whoever notices first takes the
lock and starts it again on the same data and the same socket path: ``RedisConnection`` asks ``reviver`` when it
cannot connect.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lash_core.errors import LashError, SettingsError, StoreUnreachableError
from lash_core.redis_store.embedded_binary import find_server
from lash_core.redis_store.embedded_folder import prepare_folder, remove_socket, runtime_socket
from lash_core.redis_store.embedded_process import (
    START_SECONDS_MAX,
    STOP_SECONDS_MAX,
    answers,
    ask,
    start_server,
    stop_child,
)
from lash_core.redis_store.embedded_stamp import ServerStamp, check_readable, read_stamp, write_stamp
from lash_core.redis_store.redact import redact_url
from lash_core.settings import EmbeddedSettings, Settings

_POLL_SECONDS = 0.01
_SHUTDOWN = b"SHUTDOWN NOSAVE\r\n"
"""Without a snapshot: the append-only file is flushed in any case, and it is what the next start reads."""

_guard = threading.Lock()
_users: dict[str, list[EmbeddedServer]] = {}
_children: dict[str, subprocess.Popen[bytes]] = {}


@dataclass(eq=False)
class EmbeddedServer:
    """This process's use of the server of one data folder.

    Attributes:
        url: ``unix://<socket>``; the same after the server was started again.
        data_dir: the folder, absolute.
        name: for people, ``Valkey 9.1.2``.
    """

    url: str
    data_dir: Path
    name: str
    _settings: EmbeddedSettings
    _users_fd: int
    _closed: bool = False

    def revive(self) -> str:
        """Start the server again if it is gone; returns the URL. Safe to repeat and from any thread.

        Raises:
            StoreUnreachableError: it cannot be started, or it was closed.
        """
        if self._closed:
            raise StoreUnreachableError(f"the embedded server of {self.data_dir} is closed in this process")
        stamp = _running_or_started(self.data_dir, self._settings)
        return f"unix://{stamp.socket}"

    def close(self) -> None:
        """Stop using the server; the last user of the folder stops it. May be called twice."""
        with _guard:
            if self._closed:
                return
            self._closed = True
            _users[self.url].remove(self)
        try:
            fcntl.flock(self._users_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop(self.data_dir)
        except BlockingIOError:
            pass  # others use it; it goes on, or ends with this process and the next to notice starts it again
        finally:
            os.close(self._users_fd)


def ensure_embedded(settings: EmbeddedSettings) -> EmbeddedServer:
    """Join the running server of the data folder, or start it.

    Blocks for the start (0.1 s as a rule); call it in a thread from a running loop. Safe to repeat: each call is one
    more use and wants its own ``close``.

    Raises:
        SettingsError: the embedded server is switched off, or the folder cannot be used.
        StoreVersionError: the folder was written by a server that the one found here cannot replace.
        StoreUnreachableError: there is no server program, or it does not start.
    """
    if not settings.enabled:
        raise SettingsError(
            "LASH_REDIS_URL is not set and LASH_EMBEDDED=0 forbids the embedded server; set LASH_REDIS_URL=redis://…",
            field="LASH_REDIS_URL",
        )
    data_dir = prepare_folder(settings.data_dir)
    users_fd = _lock(data_dir / "users.lock", fcntl.LOCK_SH, seconds=START_SECONDS_MAX + STOP_SECONDS_MAX)
    if users_fd is None:
        raise StoreUnreachableError(f"another process has been stopping the server of {data_dir} for too long")
    try:
        stamp = _running_or_started(data_dir, settings)
    except BaseException:
        os.close(users_fd)
        raise
    server = EmbeddedServer(f"unix://{stamp.socket}", data_dir, stamp.name, settings, users_fd)
    with _guard:
        _users.setdefault(server.url, []).append(server)
    return server


def reviver(url: str) -> Callable[[], str] | None:
    """How to start the server behind ``url`` again, when this process uses it as its embedded server; else None."""
    with _guard:
        users = _users.get(url)
        return users[0].revive if users else None


@dataclass(frozen=True)
class ResolvedServer:
    """Which server is used, and why.

    Attributes:
        kind: where the URL came from.
        line: one line for stderr, without secrets.
    """

    url: str
    kind: Literal["argument", "environment", "embedded"]
    line: str
    embedded: EmbeddedServer | None = None

    def close(self) -> None:
        """Stop using the embedded server, if that is what it is. May be called twice."""
        if self.embedded is not None:
            self.embedded.close()


def resolve_url(settings: Settings, url: str | None = None) -> ResolvedServer:
    """The server to use: the argument, ``LASH_REDIS_URL``, the embedded server; in this order.

    Blocks while an embedded server starts.

    Raises:
        As ``ensure_embedded``.
    """
    if url:
        return ResolvedServer(url, "argument", f"lash: using {redact_url(url)}")
    if settings.redis_url:
        line = f"lash: using {redact_url(settings.redis_url)} (LASH_REDIS_URL)"
        return ResolvedServer(settings.redis_url, "environment", line)
    server = ensure_embedded(settings.embedded)
    line = f"lash: using the embedded {server.name}, data in {server.data_dir} (set LASH_REDIS_URL for another server)"
    return ResolvedServer(server.url, "embedded", line, server)


def _running_or_started(data_dir: Path, settings: EmbeddedSettings) -> ServerStamp:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        stamp = read_stamp(data_dir)
        if stamp is not None and answers(Path(stamp.socket)):
            return stamp
        # Nobody else can be starting one while we hold the lock, and no server is alive: it would hold it itself.
        lock_fd = _lock(data_dir / "lash.lock", fcntl.LOCK_EX, seconds=0)
        if lock_fd is not None:
            try:
                return _start(data_dir, settings, lock_fd)
            finally:
                os.close(lock_fd)
        if time.monotonic() > deadline:
            who = "another process" if stamp is None else f"the server (process {stamp.pid})"
            raise StoreUnreachableError(
                f"{who} holds the lock of {data_dir} but does not answer; stop it, then try again",
                field="LASH_DATA_DIR",
                value=str(data_dir),
            )
        time.sleep(_POLL_SECONDS)


def _start(data_dir: Path, settings: EmbeddedSettings, lock_fd: int) -> ServerStamp:
    binary = find_server(settings.server_bin)
    stamp = read_stamp(data_dir)
    check_readable(data_dir, stamp, binary)
    unix_socket = runtime_socket(data_dir, None if stamp is None else Path(stamp.socket))
    if answers(unix_socket):
        raise StoreUnreachableError(
            f"another server listens on {unix_socket}, which belongs to {data_dir}; stop it first"
        )
    unix_socket.unlink(missing_ok=True)
    log = data_dir / "server.log"
    options = {
        "port": "0",
        "unixsocket": str(unix_socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": settings.appendfsync,
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(log),
        "daemonize": "no",
    }
    command = [binary.path, *(part for name, value in options.items() for part in (f"--{name}", value))]
    process = start_server(command, lock_fd=lock_fd, unix_socket=unix_socket, log=log)
    with _guard:
        former = _children.pop(str(data_dir), None)
        _children[str(data_dir)] = process
    if former is not None:
        stop_child(former)  # dead, or it would hold the lock; this collects its exit status
    started = ServerStamp(
        family=binary.family,
        version=".".join(str(part) for part in binary.version),
        binary=binary.path,
        socket=str(unix_socket),
        pid=process.pid,
    )
    write_stamp(data_dir, started)
    return started


def _stop(data_dir: Path) -> None:
    """Stop the folder's server; the caller is its last user. A child of another process is asked over the socket."""
    with _guard:
        process = _children.pop(str(data_dir), None)
    if process is not None:
        stop_child(process)
    try:
        stamp = read_stamp(data_dir)
    except LashError:
        return
    if stamp is not None:
        if answers(Path(stamp.socket)):
            ask(Path(stamp.socket), _SHUTDOWN)
        lock_fd = _lock(data_dir / "lash.lock", fcntl.LOCK_EX, seconds=STOP_SECONDS_MAX)
        if lock_fd is not None:
            remove_socket(Path(stamp.socket))
            os.close(lock_fd)


def _lock(path: Path, mode: int, *, seconds: float) -> int | None:
    """Take a file lock within the bound; the descriptor that holds it, or None."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(fd, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(_POLL_SECONDS)
        else:
            return fd
