"""Keeps one worker process running: restarts it when its code changes or when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType

import click

from lash_worker.cli.source_watch import SourceWatch

LOOK_EVERY_S = 0.5
"""How often files are looked at: a save is picked up before a person has changed windows."""

STOP_WITHIN_S = 10.0
"""A worker that was told to yield at once and is still there after this is killed."""

_LAUNCHER = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
"""On Linux the worker ends with its supervisor, also when that is killed: old code must not go on beside new code."""

_RESTART_PAUSE_S = 0.2
_RESTART_PAUSE_MAX_S = 5.0
_STEADY_S = 10.0
"""A worker that lived this long was not failing at start: the next restart is prompt again."""


class DevSupervisor:
    """One worker child and the reasons to restart it.

    Args:
        command: the worker's command line.
        environment: its whole environment.
        watch: sources to look at, None = no reload.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], watch: SourceWatch | None) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._watch = watch
        self._stop = threading.Event()
        self._pause_s = _RESTART_PAUSE_S

    def run(self) -> int:
        """Run until SIGINT or SIGTERM, or until the worker was drained; returns the exit code."""
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        child = self._start()
        try:
            while not self._stop.is_set():
                ended = self._wait(child)
                if self._stop.is_set():
                    break
                if ended == 0:
                    return 0
                child = self._next(child, ended)
            return 0
        finally:
            self._end(child)
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _start(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        # A session of its own: Ctrl-C reaches this process alone, which then stops the worker in order.
        command = [sys.executable, "-c", _LAUNCHER, str(os.getpid()), *self._command]
        return subprocess.Popen(command, env=self._environment, start_new_session=True)  # noqa: S603 - our own interpreter

    def _wait(self, child: subprocess.Popen[bytes]) -> int | None:
        """Wait for the child's end (its code), a changed file or a stop (both None)."""
        while not self._stop.is_set():
            ended = child.poll()
            if ended is not None:
                return ended
            if self._changed():
                return None
            self._stop.wait(LOOK_EVERY_S)
        return None

    def _next(self, child: subprocess.Popen[bytes], ended: int | None) -> subprocess.Popen[bytes]:
        if ended is None:
            self._end(child)
        elif ended < 0:
            name = signal.Signals(-ended).name
            click.echo(f"lash dev: the worker was ended by {name}; starting another one", err=True)
            self._breathe()
        else:
            click.echo(f"lash dev: the worker ended with exit code {ended}; waiting for a changed file", err=True)
            while not self._changed() and not self._stop.wait(LOOK_EVERY_S):
                pass
        return child if self._stop.is_set() else self._start()

    def _changed(self) -> bool:
        changed = [] if self._watch is None else self._watch.changed()
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            click.echo(f"lash dev: {changed[0]}{more} changed; running work yields to the new code", err=True)
        return bool(changed)

    def _breathe(self) -> None:
        steady = time.monotonic() - self._started >= _STEADY_S
        self._pause_s = _RESTART_PAUSE_S if steady else min(2 * self._pause_s, _RESTART_PAUSE_MAX_S)
        self._stop.wait(self._pause_s)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(STOP_WITHIN_S)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()
