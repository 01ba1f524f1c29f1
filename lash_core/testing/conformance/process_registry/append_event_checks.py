"""``append_event``: what is refused, which refusal wins, and the meaning of terminal events (contract 2.5)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import (
    AlreadyTerminalError,
    InvalidArgumentError,
    InvalidPayloadError,
    LashError,
    LeaseLostError,
    ReplayKeyConflictError,
    ReplayKeyRequiredError,
    SelectorError,
    UndeclaredEventTypeError,
)
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.model.facts import SignalWait, WaitState
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    LOST,
    OUTPUTS,
    claimed,
    completed,
    current,
    event,
    feed_end,
    in_feed,
    note,
    registered,
    running,
    unique,
)
from lash_core.testing.conformance.stores import ConformanceStores, elapse


async def _nothing_written(
    stores: ConformanceStores, error_type: type[LashError], text: str, event_type: str, payload: Any, key: str | None
) -> None:
    record = await registered(stores)
    end = await feed_end(stores)
    await elapse(stores, 2)
    with refused(error_type, text):
        await stores.process_registry.append_event(record.id, event(event_type, payload, key))
    assert record == await current(stores, record.id)
    assert () == await stores.process_registry.events_after(record.id, 0)
    assert not await in_feed(stores, end, record.id)


async def an_undeclared_type_is_refused(stores: ConformanceStores) -> None:
    """The registration is the list of what a process may say."""
    text = "emitted undeclared event type `signal.unheard`"
    await _nothing_written(stores, UndeclaredEventTypeError, text, "signal.unheard", {}, None)


async def terminal_events_and_cancels_need_a_replay_key(stores: ConformanceStores) -> None:
    """Without a key, or with an empty one, they are refused."""
    for event_type in ("process.completed", "process.cancel_requested", "finished"):
        for key in (None, ""):
            await _nothing_written(
                stores, ReplayKeyRequiredError, "requires a deterministic replay key", event_type, {}, key
            )


async def a_payload_that_does_not_fit_its_schema_is_refused(stores: ConformanceStores) -> None:
    """The text names the type and the field names the place."""
    await _nothing_written(stores, InvalidPayloadError, "invalid `measured` payload: ", "measured", {"n": "x"}, None)
    record = await registered(stores)
    with refused(InvalidPayloadError, "invalid `measured` payload: ") as refusal:
        await stores.process_registry.append_event(record.id, event("measured", {"n": "x"}))
    assert "payload.n" == refusal.error.field

    await stores.process_registry.append_event(record.id, event("measured", {"n": 1}))
    assert 1 == (await current(stores, record.id)).last_sequence


async def a_selector_that_does_not_match_is_refused(stores: ConformanceStores) -> None:
    """Semantics are computed before anything is written."""
    await _nothing_written(
        stores, SelectorError, "payload pointer `/why` did not match", "broken", {"reason": "x"}, "end"
    )
    await _nothing_written(stores, SelectorError, "payload pointer `/text` did not match", "ping", {}, None)
    await _nothing_written(stores, SelectorError, "did not match", "process.completed", {}, "end")


async def a_second_terminal_event_is_refused(stores: ConformanceStores) -> None:
    """There is exactly one terminal event; plain terminal appends and completions see the same rule."""
    ended = await completed(stores)

    with refused(AlreadyTerminalError, f"process `{ended.id}` is already terminal"):
        await stores.process_registry.append_event(ended.id, event("finished", {}, "another"))

    assert ended == await current(stores, ended.id)
    assert 1 == len(await stores.process_registry.events_after(ended.id, 0))


async def a_payload_over_the_limit_is_refused(stores: ConformanceStores) -> None:
    """256 KB is the limit of one payload."""
    await _nothing_written(stores, InvalidArgumentError, "262144", "note", "x" * (256 * 1024 + 1), None)


async def a_payload_that_is_not_json_is_refused(stores: ConformanceStores) -> None:
    """NaN, lone surrogates and non-string keys are refused with their path."""
    for payload in ({"a": float("inf")}, {"a": "\ud800"}, {"a": {1: 2}}):
        await _nothing_written(stores, InvalidArgumentError, "a", "note", payload, None)


async def a_replay_key_over_its_limit_is_refused(stores: ConformanceStores) -> None:
    """512 bytes are the limit of one replay key."""
    await _nothing_written(stores, InvalidArgumentError, "512", "note", {}, "k" * 513)


async def the_first_failing_check_wins(stores: ConformanceStores) -> None:
    """Conflict before lease before undeclared before key before schema before terminal."""
    ended = await completed(stores)
    record, lease = await running(stores)
    stale = lease.model_copy(update={"lease_token": "forged"})
    await stores.process_registry.append_event(record.id, note("a", "used"))
    await stores.process_registry.append_event(ended.id, note("a", "used"))

    with refused(ReplayKeyConflictError):
        await stores.process_registry.append_event(record.id, event("undeclared", {}, "used"), lease=stale)
    with refused(ReplayKeyConflictError):
        await stores.process_registry.append_event(ended.id, event("measured", {"n": "x"}, "used"))
    with refused(LeaseLostError, LOST):
        await stores.process_registry.append_event(record.id, event("undeclared", {}), lease=stale)
    with refused(UndeclaredEventTypeError):
        await stores.process_registry.append_event(record.id, event("undeclared", {}), lease=lease)
    with refused(ReplayKeyRequiredError):
        await stores.process_registry.append_event(ended.id, event("broken", {}))
    with refused(SelectorError):
        await stores.process_registry.append_event(ended.id, event("broken", {}, "fresh"))
    with refused(AlreadyTerminalError):
        await stores.process_registry.append_event(ended.id, event("broken", {"why": "x"}, "fresh"))


async def a_replay_wins_over_a_lost_lease(stores: ConformanceStores) -> None:
    """A stale run may see what it wrote itself: nothing is written by a replay (decision 24)."""
    record, lease = await running(stores)
    first = await stores.process_registry.append_event(record.id, note("a", "mine"), lease=lease)
    await stores.process_registry.complete_process_with_lease(lease, OUTPUTS["completed"])
    after = await current(stores, record.id)

    again = await stores.process_registry.append_event(record.id, note("a", "mine"), lease=lease)

    assert first.event == again.event
    assert after == await current(stores, record.id)


async def _outcome(stores: ConformanceStores, event_type: str, payload: Any) -> tuple[str, AnyAwaitOutput | None]:
    record = await registered(stores)
    result = await stores.process_registry.append_event(record.id, event(event_type, payload, unique("end")))
    row = await current(stores, record.id)
    assert result.event.semantics.terminal is not None
    assert row.status.state == result.event.semantics.terminal.state
    assert row.await_output == result.event.semantics.terminal.await_output
    assert (result.event,) == await stores.process_registry.events_after(record.id, 0)
    return row.status.state, row.await_output


async def core_terminal_events_carry_their_outcome(stores: ConformanceStores) -> None:
    """``process.completed`` and its kin decode ``/await_output``."""
    for state, output in OUTPUTS.items():
        payload = {"await_output": output.to_json_value()}
        assert (state, output) == await _outcome(stores, f"process.{state}", payload)


async def raw_terminal_values_are_wrapped_by_state(stores: ConformanceStores) -> None:
    """A value that is no outcome becomes one of the declared state."""
    failure = ProcessAwaitOutput.failure("execution", "process_failed", "disk full", raw="disk full")
    assert ("completed", ProcessAwaitOutput.success({"n": 1})) == await _outcome(stores, "finished", {"n": 1})
    assert ("failed", failure) == await _outcome(stores, "broken", {"why": "disk full"})
    cancelled = ProcessAwaitOutput.cancelled('{"by":"ops"}', raw={"by": "ops"})
    assert ("cancelled", cancelled) == await _outcome(stores, "dropped", {"why": {"by": "ops"}})
    state, output = await _outcome(stores, "given_up", {"anything": 1})
    assert "abandoned" == state
    assert output is not None
    assert {"writer": "owner_drain", "epoch_ms": 0} == output.to_json_value()["evidence"]


async def an_outcome_of_another_kind_is_refused(stores: ConformanceStores) -> None:
    """An outcome must fit the state that its event declares: neither is believed over the other (decision 34)."""
    success, failure = {"type": "success", "value": 1}, OUTPUTS["failed"].to_json_value()
    await _nothing_written(stores, InvalidPayloadError, "invalid `broken` payload: ", "broken", {"why": success}, "end")
    await _nothing_written(
        stores,
        InvalidPayloadError,
        "invalid `process.completed` payload: ",
        "process.completed",
        {"await_output": failure},
        "end",
    )


async def a_terminal_event_clears_the_wait(stores: ConformanceStores) -> None:
    """Nobody waits after the end."""
    record = await registered(stores)
    kind = SignalWait(
        name="approve",
        event_type="signal.approve",
        key=f"process:{record.id}:signal.approve:1",
        ordinal=1,
    )
    await stores.process_registry.set_wait(record.id, WaitState(since_ms=1, kind=kind))

    await stores.process_registry.append_event(record.id, event("finished", {}, "end"))

    assert None is (await current(stores, record.id)).wait


async def an_unleased_terminal_event_leaves_the_lease(stores: ConformanceStores) -> None:
    """The lease stays with its holder until it expires or is released; the ended row is not offered again."""
    record = await registered(stores)
    lease = await claimed(stores, record.id)

    await stores.process_registry.append_event(record.id, event("finished", {}, "end"))

    held = await stores.process_registry.get_process_lease(record.id)
    assert held is not None
    assert lease.same_acquisition(held)
