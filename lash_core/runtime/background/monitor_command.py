"""A monitor's command as an operating-system process that never outlives whoever reads it.

``docs/contracts/background_tasks.md`` 6. The command runs in a process group of its own below a small shell, whose
standard input is one end of a socket pair: when the other end closes, also because this program was killed, the whole
group is killed. The exit code comes back over the same pair, and then too the group is killed: what the command left
behind does not stay.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from lash_core.model.monitor import MonitorSpec
from lash_core.runtime.background.monitor_lines import MonitorLines
from lash_core.runtime.token_race import end_tasks

TERM_GRACE_SECONDS = 1.0
"""Between SIGTERM and SIGKILL: with what follows, a teardown stays below two seconds."""
DRAIN_SECONDS = 0.5
"""What a killed group wrote is in the pipe already."""
READ_BYTES_MAX = 64 * 1024
READ_PAUSE_SECONDS = 0.05
"""After a full read: a command that floods costs little more than one that is quiet, and is held back by its pipe."""
ERROR_TAIL_BYTES = 2_048
REAP_SECONDS = 0.005

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL")

_GUARD = """
trap '' TERM INT HUP
exec 3<&0 </dev/null
(exec >/dev/null 2>&1; cat <&3; kill -KILL 0) &
trap : TERM INT HUP
"$@" 3>&-
echo "$?" >&3
kill -KILL 0
"""
"""The reader ignores what ends the command, and the shell waits for it: both are there until the group dies."""


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended. ``errors``: the end of what it wrote to standard error."""

    exit_code: int
    errors: str = ""


def monitor_environment(spec: MonitorSpec) -> dict[str, str]:
    """What the command sees: the few variables that programs need, and the spec's own. No settings, no secrets."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | spec.env


class MonitorCommand:
    """One run of a command. Belongs to the loop that runs it.

    Args:
        spec: what to run.
        lines: takes what it writes to standard output.
    """

    def __init__(self, spec: MonitorSpec, lines: MonitorLines) -> None:
        self._spec = spec
        self._lines = lines
        self._errors: deque[bytes] = deque(maxlen=8)
        self._wrote = asyncio.Event()
        self._group: int | None = None

    async def wait_wrote(self) -> None:
        """Wait until there are new lines, or may be. The caller bounds the wait."""
        await self._wrote.wait()
        self._wrote.clear()

    def tell(self) -> None:
        """Wake who waits for lines."""
        self._wrote.set()

    async def run(self) -> CommandEnd:
        """Run it to its end. When this is cancelled, the command is terminated first, within two seconds.

        Raises:
            OSError: it cannot be started: the folder, say.
        """
        group = _spawned(self._spec)
        self._group = group.process.pid
        readers = [
            asyncio.ensure_future(self._read_lines(group.output)),
            asyncio.ensure_future(self._read_errors(group.errors)),
        ]
        try:
            code = await _exit_code(group.ours)
        except asyncio.CancelledError:
            await self._terminate(group.ours)
            raise
        finally:
            # From here on nobody of the group is left: the pair is closed.
            self._group = None
            group.ours.close()
            try:
                await _ended(group.process, readers)
            finally:
                group.close()
                self._lines.end()
                self._wrote.set()
        return CommandEnd(code, b"".join(self._errors)[-ERROR_TAIL_BYTES:].decode("utf-8", "replace").strip())

    def kill(self) -> None:
        """Kill the group now; for a program that cannot wait any more."""
        self._signal(signal.SIGKILL)

    async def _terminate(self, ours: socket.socket) -> None:
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(TERM_GRACE_SECONDS):
                await _exit_code(ours)
        except TimeoutError:
            self._signal(signal.SIGKILL)
        except asyncio.CancelledError:
            # Nobody waits any more: no grace either.
            self._signal(signal.SIGKILL)
            raise

    def _signal(self, number: signal.Signals) -> None:
        """Signal the group while its leader has not been waited for: only then is the number surely its."""
        if self._group is None:
            return
        try:
            os.killpg(self._group, number)
        except ProcessLookupError:
            self._group = None

    async def _read_lines(self, pipe: int) -> None:
        while data := await _read(pipe, READ_BYTES_MAX):
            self._lines.feed(data)
            self._wrote.set()
            if len(data) >= READ_BYTES_MAX // 2:
                await asyncio.sleep(READ_PAUSE_SECONDS)

    async def _read_errors(self, pipe: int) -> None:
        while data := await _read(pipe, ERROR_TAIL_BYTES):
            self._errors.append(data)


@dataclass(frozen=True, slots=True)
class _Group:
    """The guard with the command below it. Plain pipes: those of asyncio wait for a process that nobody ends."""

    process: subprocess.Popen[bytes]
    ours: socket.socket
    output: int
    errors: int

    def close(self) -> None:
        """Close the pipes; who still reads is told nothing."""
        for pipe in (self.output, self.errors):
            asyncio.get_running_loop().remove_reader(pipe)
            os.close(pipe)


def _spawned(spec: MonitorSpec) -> _Group:
    """Start the guard: a fork, as every start of a process costs its caller."""
    ours, theirs = socket.socketpair()
    output, to_output = os.pipe()
    errors, to_errors = os.pipe()
    try:
        process = subprocess.Popen(  # noqa: S603 - the host's own configuration
            ["/bin/sh", "-c", _GUARD, "lash-monitor", *spec.arguments],
            stdin=theirs.fileno(),
            stdout=to_output,
            stderr=to_errors,
            cwd=spec.cwd,
            env=monitor_environment(spec),
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        os.close(output)
        os.close(errors)
        raise
    finally:
        theirs.close()
        os.close(to_output)
        os.close(to_errors)
    ours.settimeout(0)
    for pipe in (output, errors):
        os.set_blocking(pipe, False)
    return _Group(process, ours, output, errors)


async def _read(pipe: int, size: int) -> bytes:
    """What is there; empty at the end."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(pipe, size)
        except BlockingIOError:
            readable: asyncio.Future[None] = loop.create_future()
            loop.add_reader(pipe, _tell, readable)
            try:
                await readable
            finally:
                loop.remove_reader(pipe)


def _tell(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _exit_code(ours: socket.socket) -> int:
    """What the guard says; without a word it was killed itself."""
    loop = asyncio.get_running_loop()
    said = b""
    while True:
        try:
            data = await loop.sock_recv(ours, 16)
        except ConnectionError:
            data = b""
        said += data
        if not data or said.endswith(b"\n"):
            break
    code = int(said) if said.strip().isdigit() else 128 + signal.SIGKILL
    # A shell says 128 + n of a command that signal n ended.
    return 128 - code if 128 < code < 160 else code


async def _ended(process: subprocess.Popen[bytes], readers: Sequence[asyncio.Future[None]]) -> None:
    """Read what is left in the pipes and reap the guard; both take as long as a kill."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await asyncio.wait(readers)
            while process.poll() is None:  # noqa: ASYNC110 - a child's end is told by a signal, which is the program's
                await asyncio.sleep(REAP_SECONDS)
    except TimeoutError:
        pass
    finally:
        process.poll()
        await end_tasks(readers)
