"""Await-event promises in memory: signed keys, the first resolution wins."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import (
    Accepted,
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    UnknownOrRevoked,
    WaitIdentity,
)
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.inline_await_events import InlineAwaitEvents
from lash_core.testing.waiting import eventually

PROCESS = ExecutionScope.process("p")
TURN = ExecutionScope.turn("s", "t")
GO = WaitIdentity.custom("go")


async def soon(waiting: asyncio.Task[Resolution]) -> Resolution:
    async with asyncio.timeout(5):
        return await waiting


def test_keys_are_deterministic_per_host_and_differ_between_hosts() -> None:
    """Minting stores nothing, so it can be repeated; another host's secret makes another signature."""
    events = InlineAwaitEvents()

    assert events.mint(PROCESS, GO) == events.mint(PROCESS, GO)
    assert events.mint(PROCESS, GO).key_id == InlineAwaitEvents().mint(PROCESS, GO).key_id
    assert events.mint(PROCESS, GO).signature != InlineAwaitEvents().mint(PROCESS, GO).signature


@pytest.mark.parametrize("ordinal", [0, -1])
def test_signal_ordinals_start_at_one(ordinal: int) -> None:
    """A blank part or an ordinal below 1 names no wait."""
    with pytest.raises(RuntimeFailure) as caught:
        WaitIdentity.process_signal("p", "go", ordinal)

    assert "invalid_await_event_wait_identity" == caught.value.code


async def test_a_resolution_before_the_wait_is_kept() -> None:
    """The wait answers at once, and so does every later one."""
    events = InlineAwaitEvents()
    key = events.mint(PROCESS, GO)
    assert await events.peek(key) is None

    assert Accepted() == await events.resolve(key, Resolution.ok({"n": 1}))
    assert Resolution.ok({"n": 1}) == await events.await_event(key)
    assert Resolution.ok({"n": 1}) == await events.peek(key)
    assert AlreadyResolved(Resolution.ok({"n": 1})) == await events.resolve(key, Resolution.ok(2))


async def test_a_waiter_is_woken() -> None:
    """Errors are resolutions as well."""
    events = InlineAwaitEvents()
    key = events.mint(PROCESS, GO)
    waiting = asyncio.create_task(events.await_event(key))
    await asyncio.sleep(0)
    await events.resolve(key, Resolution.err("no", "it broke"))

    assert Resolution.err("no", "it broke") == await soon(waiting)


async def test_a_timeout_ends_the_promise_itself() -> None:
    """A value that comes later finds it resolved."""
    events = InlineAwaitEvents()
    key = events.mint(PROCESS, GO)

    assert "timeout" == (await events.await_event(key, timeout_ms=1)).type
    assert AlreadyResolved(Resolution(type="timeout")) == await events.resolve(key, Resolution.ok(1))


async def test_a_cancelled_waiter_ends_the_promise_unless_a_value_was_faster() -> None:
    """Whoever waits next sees what stands."""
    events = InlineAwaitEvents()
    late, early = events.mint(PROCESS, GO), events.mint(PROCESS, WaitIdentity.custom("early"))
    waiting = asyncio.create_task(events.await_event(late))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await events.resolve(early, Resolution.ok("value"))

    assert "cancelled" == (await events.await_event(late)).type
    assert "value" == (await events.await_event(early)).value


@pytest.mark.parametrize("part", ["scope", "wait", "key_id", "signature"])
async def test_a_tampered_key_opens_nothing_and_tells_nothing(part: str) -> None:
    """Each part is authenticated; resolving answers as for an unknown key."""
    events = InlineAwaitEvents()
    key = events.mint(PROCESS, GO)
    forged: AwaitEventKey = replace(
        key,
        **{
            part: {
                "scope": ExecutionScope.process("other"),
                "wait": WaitIdentity.custom("other"),
                "key_id": "0" * 64,
                "signature": "0" * 64,
            }[part]
        },
    )

    assert UnknownOrRevoked() == await events.resolve(forged, Resolution.ok(1))
    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        await events.peek(forged)
    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        await events.await_event(forged)
    assert await events.peek(key) is None


async def test_cancelling_a_session_ends_its_waits_and_no_others() -> None:
    """Turn control and the promises of processes are not its business."""
    events = InlineAwaitEvents()
    mine, control = events.mint(TURN, GO), events.mint(TURN, WaitIdentity.turn_cancel_gate())
    other = events.mint(PROCESS, GO)
    waits = [asyncio.create_task(events.await_event(key)) for key in (mine, control, other)]
    await asyncio.sleep(0)

    assert 1 == await events.cancel_session("s")
    assert "cancelled" == (await soon(waits[0])).type
    assert 1 == await events.cancel_scope(PROCESS)
    assert "cancelled" == (await soon(waits[2])).type
    assert not waits[1].done()
    waits[1].cancel()
    await asyncio.gather(waits[1], return_exceptions=True)
    assert await events.peek(control) is None


async def test_revoking_a_session_wakes_its_waiters_and_refuses_its_keys() -> None:
    """Later mints and resolutions are refused; a process's promise stands."""
    events = InlineAwaitEvents()
    key, other = events.mint(TURN, GO), events.mint(PROCESS, GO)
    waiting = asyncio.create_task(events.await_event(key))
    await asyncio.sleep(0)
    await events.revoke_session("s")

    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        await soon(waiting)
    with pytest.raises(RuntimeFailure, match="await_event_unknown_or_revoked"):
        events.mint(TURN, GO)
    assert UnknownOrRevoked() == await events.resolve(key, Resolution.ok(1))
    assert Accepted() == await events.resolve(other, Resolution.ok(1))


async def test_a_turn_control_wait_that_times_out_only_errors() -> None:
    """The promise is left to whoever ends the turn."""
    events = InlineAwaitEvents()
    key = events.mint(TURN, WaitIdentity.turn_terminal())
    with pytest.raises(RuntimeFailure) as caught:
        await events.await_event(key, timeout_ms=1)

    assert "turn_control_wait_timeout" == caught.value.code
    assert Accepted() == await events.resolve(key, Resolution.ok("end"))


async def test_a_resolution_from_another_loop_wakes_the_waiter() -> None:
    """Threads with loops of their own share the promises of a program."""
    events = InlineAwaitEvents()
    key = events.mint(PROCESS, GO)
    waiting = asyncio.create_task(events.await_event(key))
    await asyncio.sleep(0)
    await asyncio.to_thread(lambda: asyncio.run(events.resolve(key, Resolution.ok("there"))))
    await eventually(waiting.done)

    assert "there" == waiting.result().value
