"""A monitor's command never outlives whoever reads it, however that ends."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from lash_core.model.monitor import MonitorSpec
from lash_core.runtime.background.monitor_command import MonitorCommand
from lash_core.runtime.background.monitor_lines import (
    BATCH_CHARACTERS_MAX,
    BATCH_LINES_MAX,
    LINE_CHARACTERS_MAX,
    WAITING_LINES_MAX,
    MonitorLines,
)
from lash_core.testing.waiting import eventually, eventually_sync
from tests.runtime.background_handles.monitor_kit import alive

_PROGRAM = """
import asyncio
from lash_core.model.monitor import MonitorSpec
from lash_core.runtime.background.monitor_command import MonitorCommand
from lash_core.runtime.background.monitor_lines import MonitorLines

async def main():
    lines = MonitorLines()
    command = MonitorCommand(MonitorSpec("m", "trap '' TERM; echo $$; sleep 600"), lines)
    running = asyncio.ensure_future(command.run())
    while not lines.is_waiting:
        await asyncio.sleep(0.01)
    print(lines.take()[0], flush=True)
    await running

asyncio.run(main())
"""


def test_a_killed_program_takes_its_commands_along() -> None:
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        assert alive(pid)
        program.send_signal(signal.SIGKILL)
        eventually_sync(lambda: not alive(pid))


async def begun(lines: MonitorLines, *, is_speaking: bool) -> int:
    command = MonitorCommand(MonitorSpec("m", "echo $$; sleep 600"), lines)
    asyncio.get_running_loop().create_task(command.run())
    if not is_speaking:
        await asyncio.sleep(0)
        return 0
    await eventually(lambda: lines.is_waiting)
    return int(lines.take()[0])


@pytest.mark.parametrize("is_speaking", [True, False])
def test_a_loop_that_ends_takes_its_commands_along(is_speaking: bool) -> None:
    lines = MonitorLines()
    pid = asyncio.run(begun(lines, is_speaking=is_speaking))
    for one in (pid, *map(int, lines.take())):
        eventually_sync(lambda one=one: one == 0 or not alive(one))


async def test_a_stop_that_is_interrupted_kills_at_once() -> None:
    lines = MonitorLines()
    command = MonitorCommand(MonitorSpec("m", "trap '' TERM; echo $$; sleep 600"), lines)
    running = asyncio.ensure_future(command.run())
    await eventually(lambda: lines.is_waiting)
    pid = int(lines.take()[0])
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running,))
    await eventually(lambda: not alive(pid))


# -- lines ------------------------------------------------------------------------------------------------------


def test_lines_come_whole_however_they_were_written() -> None:
    lines = MonitorLines()
    for part in (b"on", b"e\ntw", b"o\r\n\nthree", " \u00e4\n".encode(), b"\xff\nlast"):
        lines.feed(part)
    assert (("one", "two", "", "three \u00e4", "\ufffd"), 5) == (lines.take(), lines.count)
    lines.end()
    assert (("last",), 6) == (lines.take(), lines.count)


def test_a_long_line_is_cut_and_costs_no_more_than_that() -> None:
    lines = MonitorLines()
    for _ in range(100):
        lines.feed(b"x" * LINE_CHARACTERS_MAX)
    lines.feed(b"\nnext\n")
    assert ("x" * (LINE_CHARACTERS_MAX - 1) + "…", "next") == lines.take()
    lines.feed("ä".encode() * LINE_CHARACTERS_MAX + b"\n")
    assert ("ä" * LINE_CHARACTERS_MAX,) == lines.take()


def test_of_a_flood_the_newest_lines_stay() -> None:
    lines = MonitorLines()
    lines.feed(b"".join(b"%d\n" % n for n in range(1_000)))
    assert (1_000, 1_000 - WAITING_LINES_MAX) == (lines.count, lines.dropped)
    first = lines.take()
    assert (BATCH_LINES_MAX, str(1_000 - WAITING_LINES_MAX)) == (len(first), first[0])
    lines.feed(b"y" * 3_000 + b"\n")
    batches: list[tuple[str, ...]] = []
    while lines.is_waiting:
        batches.append(lines.take())
    assert "y" * 3_000 == batches[-1][-1]


def test_a_batch_has_a_size_and_what_waits_too() -> None:
    lines = MonitorLines()
    for _ in range(30):
        lines.feed(b"z" * 3_000 + b"\n")
    assert (30, 9) == (lines.count, lines.dropped)
    batch = lines.take()
    assert BATCH_CHARACTERS_MAX // 3_000 == len(batch)
