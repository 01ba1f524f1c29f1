"""One runner as the lash worker sees it: started, talked to, started again with a back-off when it dies."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from lash_worker.isolation.order import RESULT_BYTES_MAX, HorseEnd
from lash_worker.isolation.process_group import signal_group
from lash_worker.services.service import Service

START_SECONDS_MAX = 60.0
"""Interpreter, apps and their imports; a runner that needs longer hangs in an import."""
QUIT_SECONDS = 5.0
"""A runner without a horse ends in milliseconds."""
LINE_BYTES_MAX = 8 * RESULT_BYTES_MAX
"""An outcome within its bound, with every character escaped at worst."""

_log = logging.getLogger(__name__)


class RunnerDiedError(Exception):
    """The runner's OS process has ended though nobody asked for it."""


class RunnerLink(Service):
    """A runner child and the socket to it.

    Args:
        number: for its name.
        config: its first line.
        on_started: told job id and pid of a horse.
        on_ended: told job id and end; also when the runner died over it.
        on_crash: as every service's.
    """

    grace_seconds = QUIT_SECONDS

    def __init__(
        self,
        number: int,
        config: Mapping[str, Any],
        on_started: Callable[[RunnerLink, str, int], None],
        on_ended: Callable[[RunnerLink, str, HorseEnd], None],
        on_crash: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(on_crash)
        self.name = f"runner-{number}"
        self._number = number
        self._config = config
        self._on_started = on_started
        self._on_ended = on_ended
        self._writer: asyncio.StreamWriter | None = None
        self._process: Process | None = None
        self._job_id: str | None = None
        self._horse_pid = 0
        self.ready = asyncio.Event()
        self.faults: dict[str, str] = {}

    @property
    def pid(self) -> int | None:
        """Of the runner, while it runs."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Start the runner and read what it tells, until it ends."""
        ours, theirs = socket.socketpair()
        try:
            # A session of its own: Ctrl-C in a terminal reaches the lash worker alone, which then drains.
            self._process = process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "lash_worker.isolation.runner", str(theirs.fileno())),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES_MAX)
        try:
            self._send({**self._config, "worker_pid": os.getpid(), "sys_path": sys.path})
            async with asyncio.timeout(START_SECONDS_MAX):
                self._take(await reader.readline())
            while line := await reader.readline():
                self._take(line)
            code = await process.wait()
            if not self.is_stopping:
                raise RunnerDiedError(f"its process ended with {code}")
        finally:
            self.ready.clear()
            await self._bury(process)

    def stop_horse(self, job_id: str, *, kill: bool) -> None:
        """Send SIGTERM, or SIGKILL, to the group of the horse that runs this job, if it still does."""
        self._send({"stop": job_id, "kill": kill})

    def kill(self) -> None:
        """End a runner that does not do what it is told; its horse goes with it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _wake(self) -> None:
        self._send({"quit": True})

    def _send(self, order: Mapping[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(order).encode() + b"\n")

    def _take(self, line: bytes) -> None:
        told: dict[str, Any] = json.loads(line or "{}")
        if "ready" in told:
            # All runners import the same code: one of them says what is missing.
            if self._number == 1 and told["faults"] != self.faults:
                for kind, fault in told["faults"].items():
                    _log.warning("kind %s: its function cannot be imported: %s", kind, fault)
            self.faults = told["faults"]
            self.ready.set()
        elif "started" in told:
            self._job_id, self._horse_pid = told["started"], told["pid"]
            self._on_started(self, told["started"], told["pid"])
        elif "ended" in told:
            self._job_id, self._horse_pid = None, 0
            self._on_ended(self, told["ended"], HorseEnd.model_validate(told["end"]))
        elif "fault" in told:
            raise RunnerDiedError(told["fault"])
        elif not self.is_stopping:
            raise RunnerDiedError("its process ended at its start")

    async def _bury(self, process: Process) -> None:
        if process.returncode is None:
            process.kill()
        # The kernel ends the horse with its runner; what the horse started is in its group.
        if self._horse_pid:
            signal_group(self._horse_pid, signal.SIGKILL)
        if self._job_id is not None:
            job_id, self._job_id, self._horse_pid = self._job_id, None, 0
            self._on_ended(self, job_id, HorseEnd(detail="lost its runner, which was killed"))
        writer, self._writer, self._process = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await process.wait()
