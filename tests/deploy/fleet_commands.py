"""Starts shipped command lines as real processes and watches them."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lash_core.testing.waiting import eventually_sync

ROOT = Path(__file__).resolve().parents[2]


def fetch(url: str) -> tuple[int, str]:
    """Status and body; status 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(predicate: Callable[[], bool]) -> None:
    """Wait until a predicate is true, as long as a start on a busy machine may take."""
    eventually_sync(predicate, within_ms=30_000, every_ms=20)


@contextmanager
def running(
    command: list[str] | str, environment: Mapping[str, str], cwd: Path = ROOT
) -> Generator[subprocess.Popen[str]]:
    """A command line as a process group of its own; killed at the end if it is still there."""
    process = subprocess.Popen(
        command,
        shell=isinstance(command, str),
        cwd=cwd,
        env={**os.environ, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        process.stdout.close()
        process.wait(10)
