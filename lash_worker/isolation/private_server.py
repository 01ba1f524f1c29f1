"""The private server of one worker's work-horses: nothing on disk, a unix socket, gone with the worker.

It holds jobs for the moments between the hand-over and the fork; what matters is in the fleet's Redis. Hence no
persistence, and a server that dies is started again empty.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from lash_core.redis_store.embedded_binary import find_server
from lash_core.redis_store.embedded_folder import SOCKET_BYTES_MAX
from lash_core.redis_store.embedded_process import start_server, stop_child

_PREFIX = "lash-horses-"
_LOCK = "lock"


class PrivateServer:
    """A server child in a folder of its own. Its calls block; use them in a thread.

    Args:
        server_bin: value of ``LASH_REDIS_SERVER_BIN``, or None.
    """

    def __init__(self, server_bin: str | None) -> None:
        self._binary = find_server(server_bin).path
        base = _base()
        _remove_stale(base)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        self._lock_fd = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``unix://<socket>``; the same after the server was started again."""
        return f"unix://{self._folder / 's'}"

    @property
    def is_running(self) -> bool:
        """False once its process has ended."""
        return self._process is not None and self._process.poll() is None

    def ensure(self) -> bool:
        """Start the server unless it runs; True when it was started.

        Raises:
            StoreUnreachableError: it does not start.
        """
        if self.is_running:
            return False
        if self._process is not None:
            stop_child(self._process)
        unix_socket = self._folder / "s"
        unix_socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(unix_socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "appendonly": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "logfile": str(self._folder / "server.log"),
            "daemonize": "no",
        }
        command = [self._binary, *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process = start_server(
            command, lock_fd=self._lock_fd, unix_socket=unix_socket, log=self._folder / "server.log"
        )
        return True

    def close(self) -> None:
        """Stop the server and remove its folder. May be called twice."""
        if self._process is not None:
            stop_child(self._process)
            self._process = None
        if self._lock_fd >= 0:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock_fd)
            self._lock_fd = -1


def _base() -> Path:
    """A folder whose paths are short enough for a socket; the one that is made in it is private (0700)."""
    for name in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir()):
        if name and os.access(name, os.W_OK) and len(os.fsencode(name)) + len(_PREFIX) + 12 <= SOCKET_BYTES_MAX:
            return Path(name)
    return Path("/tmp")  # noqa: S108 - mkdtemp makes the folder private


def _remove_stale(base: Path) -> None:
    """Folders whose lock nobody holds: their worker was killed, and their server, which holds the lock too, is gone."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(fd)
