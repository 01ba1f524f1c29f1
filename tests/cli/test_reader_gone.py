"""What a command that follows does when its output is no longer read."""

from __future__ import annotations

import asyncio
import io
import os
import sys

import pytest

from lash_worker.cli.reader_gone import while_read


async def _answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def _for_ever(ended: list[bool]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(True)


async def test_it_ends_without_having_something_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of a pipe goes; what was under way is ended too."""
    reader, writer = os.pipe()
    ended: list[bool] = []
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        work = asyncio.create_task(while_read(_for_ever(ended)))
        await asyncio.sleep(0)
        assert 7 == await while_read(_answer(7))
        assert not work.done()
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            await asyncio.wait_for(work, 20)
    assert ended


@pytest.mark.parametrize("output", [None, io.StringIO()])
async def test_without_an_other_end_it_works_to_its_end(monkeypatch: pytest.MonkeyPatch, output: object) -> None:
    """Standard output that is closed, or kept in memory."""
    monkeypatch.setattr(sys, "stdout", output)
    assert 7 == await while_read(_answer(7))


async def test_what_the_work_raises_is_raised() -> None:
    """As it is."""

    async def broken() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await while_read(broken())
