"""The cancel token: once, with a reason, from any thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from lash_core.runtime.cancellation import CancellationToken


def test_it_fires_once_and_the_first_reason_stays() -> None:
    """A second cancel changes nothing and says so."""
    token = CancellationToken()
    assert not token.cancelled

    assert token.cancel("first")
    assert not token.cancel("second")
    assert (True, "first") == (token.cancelled, token.reason)


def test_callbacks_run_once_also_those_that_come_late() -> None:
    """A callback given after the cancel runs at once; one taken out does not run."""
    token, heard = CancellationToken(), list[str]()
    token.on_cancel(lambda: heard.append("early"))
    forget = token.on_cancel(lambda: heard.append("forgotten"))
    forget()
    forget()
    token.cancel()
    token.cancel()
    token.on_cancel(lambda: heard.append("late"))

    assert ["early", "late"] == heard


def test_a_broken_callback_does_not_keep_the_others_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged."""
    token, heard = CancellationToken(), list[str]()

    def broken() -> None:
        raise ZeroDivisionError

    token.on_cancel(broken)
    token.on_cancel(lambda: heard.append("other"))
    token.cancel()

    assert ["other"] == heard
    assert "a cancel callback failed" in caplog.text


async def test_a_waiter_hears_of_a_cancel_from_another_thread() -> None:
    """The waiter's loop is woken, and the reason is answered."""
    token = CancellationToken()
    waiting = asyncio.create_task(token.wait())
    await asyncio.sleep(0)
    thread = threading.Thread(target=token.cancel, args=("from outside",))
    thread.start()
    async with asyncio.timeout(5):
        reason = await waiting
    thread.join()

    assert "from outside" == reason
    assert "from outside" == await token.wait()


def test_of_many_threads_one_fires_it() -> None:
    """Callbacks run exactly once however many race."""
    token, heard, winners = CancellationToken(), list[int](), list[int]()
    token.on_cancel(lambda: heard.append(1))
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait()
        if token.cancel(str(number)):
            winners.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [1] == heard
    assert [token.reason] == [str(number) for number in winners]
