"""Starting and stopping the embedded server's operating-system process.

The server must end with the process that started it. Linux does that by a signal to the child of a *thread* that
ends, so all servers are started by one thread that lives as long as this process. The signal is arranged by a small
launcher and not between fork and exec of this process, where Python code may deadlock when other threads run.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from lash_core.errors import StoreUnreachableError

START_SECONDS_MAX = 15.0
"""A server starts in 0.06 s. One that still loads data after this time (LOADING) counts as started: clients wait."""

STOP_SECONDS_MAX = 15.0
"""A server with a full write buffer flushes it before it ends; after this time it is killed."""

_PING = b"PING\r\n"
_ALIVE = (b"+PONG", b"-LOADING", b"-BUSY", b"-MASTERDOWN")
_PROBE_SECONDS = 2.0
_POLL_SECONDS = 0.005
_LAUNCHER = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""1 is PR_SET_PDEATHSIG. A parent that died before the call never sends the signal, hence the comparison."""


class _Order:
    def __init__(self, command: list[str], keep_fds: tuple[int, ...]) -> None:
        self.command = command
        self.keep_fds = keep_fds
        self.reply: Future[subprocess.Popen[bytes]] = Future()


class _Starter:
    """The one thread of this process that starts servers."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._pid = 0

    def start(self, command: list[str], keep_fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._pid != os.getpid():  # first use, or a fork: threads do not survive one
                self._pid = os.getpid()
                self._orders = queue.SimpleQueue()
                threading.Thread(target=self._serve, args=(self._orders,), name="lash-embedded", daemon=True).start()
        order = _Order(command, keep_fds)
        self._orders.put(order)
        return order.reply.result(START_SECONDS_MAX)

    @staticmethod
    def _serve(orders: queue.SimpleQueue[_Order]) -> None:
        while True:
            order = orders.get()
            try:
                order.reply.set_result(
                    subprocess.Popen(  # noqa: S603 - the program that find_server chose
                        order.command,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        pass_fds=order.keep_fds,
                        start_new_session=True,
                    )
                )
            except OSError as error:
                order.reply.set_exception(error)


_STARTER = _Starter()


def spawn_bound(command: list[str], *, keep_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own that gets SIGTERM when this process ends (on Linux), however it ends.

    Args:
        command: program and arguments.
        keep_fds: descriptors that it inherits.

    Raises:
        OSError: it cannot be started.
    """
    if sys.platform == "linux" and sys.executable:
        command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *command]
    return _STARTER.start(command, keep_fds)


def start_server(command: list[str], *, lock_fd: int, unix_socket: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a server that inherits the folder's lock, and wait until it answers.

    The lock lives as long as the server: a second one cannot start on the same data even while this one shuts down.

    Raises:
        StoreUnreachableError: it ended or did not answer in time; quotes the end of its log.
    """
    try:
        process = spawn_bound(command, keep_fds=(lock_fd,))
    except OSError as error:
        raise StoreUnreachableError(f"the embedded server cannot be started: {error}") from None
    deadline = time.monotonic() + START_SECONDS_MAX
    reply = b""
    while process.poll() is None and time.monotonic() < deadline:
        reply = ask(unix_socket, _PING)
        if reply.startswith(b"+PONG"):
            return process
        time.sleep(_POLL_SECONDS)
    if process.poll() is None and reply.startswith(_ALIVE):
        return process
    stop_child(process)
    raise StoreUnreachableError(f"the embedded server did not start; the end of {log}:\n{_tail(log)}")


def answers(unix_socket: Path) -> bool:
    """True when a server answers there, also one that still loads its data."""
    return ask(unix_socket, _PING).startswith(_ALIVE)


def ask(unix_socket: Path, request: bytes) -> bytes:
    """Send one inline command and return the beginning of the reply; empty when nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_SECONDS)
            probe.connect(str(unix_socket))
            probe.sendall(request)
            return probe.recv(4096)
    except OSError:
        return b""


def stop_child(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, wait, and after the bound SIGKILL. Safe to repeat."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(log: Path, lines: int = 8) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
