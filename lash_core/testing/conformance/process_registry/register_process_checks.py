"""``register_process``: what is refused (contract 1.2, 2.1)."""

from __future__ import annotations

from typing import Any

from lash_core.errors import InvalidRegistrationError, LimitExceededError
from lash_core.model.process_input import PreparedToolCall, ProcessInput
from lash_core.model.scope import ProcessOriginator, ProcessProvenance
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import (
    NOTE,
    external,
    registered,
    registration,
    scope,
)
from lash_core.testing.conformance.stores import ConformanceStores


async def bad_ids_are_refused(stores: ConformanceStores) -> None:
    """Blank ids, ``#``, outer white space, control characters, over 200 bytes: refused with the reason."""
    refusals = [
        ("", "process id must be a non-empty string"),
        (" \t ", "process id must be a non-empty string"),
        ("a#b", "reserved segment separator `#`"),
        (" a", "white space"),
        ("a\n", "white space"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
        ("x" * 201, "201 bytes"),
        ("é" * 101, "202 bytes"),
    ]
    for process_id, text in refusals:
        with refused(InvalidRegistrationError, text):
            await stores.process_registry.register_process(registration().model_copy(update={"id": process_id}))


async def bad_event_types_are_refused(stores: ConformanceStores) -> None:
    """Blank and duplicate names, a non-completed terminal without output, core types that mean something else."""
    waiting_that_ends = {"name": "process.waiting", "semantics": {"terminal": {"state": "completed"}}}
    refusals = [
        (({"name": " "},), "event type name must be a non-empty string"),
        ((NOTE, NOTE), "duplicate event type `note`"),
        (({"name": "bad", "semantics": {"terminal": {"state": "failed"}}},), "must declare await_output"),
        (({"name": "bad", "semantics": {"terminal": {"state": "abandoned"}}},), "must declare await_output"),
        ((waiting_that_ends,), "core event type `process.waiting`"),
    ]
    for event_types, text in refusals:
        wanted = registration(event_types=event_types)
        with refused(InvalidRegistrationError, text):
            await stores.process_registry.register_process(wanted)
        assert None is await stores.process_registry.get_process(wanted.id)


async def captured_environments_are_required_or_forbidden_by_input(stores: ConformanceStores) -> None:
    """Tool calls and engines need a captured environment unless a session started them; other inputs must have none."""
    call = ProcessInput.tool_call(PreparedToolCall(call_id="c", tool_id="t", tool_name="n"))
    turn = ProcessInput.session_turn({"session_id": "s"}, {"text": "hi"})
    for needy in (registration(env_ref=None), registration(env_ref=None, input=call)):
        with refused(InvalidRegistrationError, "requires a captured execution env"):
            await stores.process_registry.register_process(needy)
    for strict in (external(env_ref="process-env:sha256:00"), registration(input=turn)):
        with refused(InvalidRegistrationError, "must not capture an execution env for this input kind"):
            await stores.process_registry.register_process(strict)

    by_session = ProcessProvenance(originator=ProcessOriginator.session(scope()))
    record = await registered(stores, registration(env_ref=None, provenance=by_session))

    assert None is record.env_ref


async def an_invalid_registration_is_refused_before_a_conflict_is_seen(stores: ConformanceStores) -> None:
    """Validation comes before the look at the store."""
    record = await registered(stores)

    with refused(InvalidRegistrationError, "duplicate event type"):
        await stores.process_registry.register_process(registration(record.id, event_types=(NOTE, NOTE)))


async def bad_queues_and_times_are_refused(stores: ConformanceStores) -> None:
    """A queue name and every duration have bounds, and the refusal names the field."""
    changes: list[tuple[str, Any]] = [
        ("queue", "no spaces"),
        ("queue", "q" * 65),
        ("delay_ms", -1),
        ("timeout_ms", 2**53 + 1),
    ]
    for field, value in changes:
        with refused(InvalidRegistrationError) as refusal:
            await stores.process_registry.register_process(registration(**{field: value}))
        assert field == refusal.error.field


async def a_payload_over_the_limit_is_refused(stores: ConformanceStores) -> None:
    """256 KB is the limit of one input; the refusal names limit and size and nothing is written."""
    wanted = registration(input=ProcessInput.engine("conformance.work", "x" * (256 * 1024 + 1)))

    with refused(LimitExceededError, "262144") as refusal:
        await stores.process_registry.register_process(wanted)

    assert 262_144 == refusal.error.limit
    assert None is await stores.process_registry.get_process(wanted.id)


async def an_input_that_is_not_json_is_refused_with_its_path(stores: ConformanceStores) -> None:
    """NaN and lone surrogates have no JSON; the refusal says where they are."""
    for value, path in (({"a": [1, float("nan")]}, "a[1]"), ({"t": "\ud800"}, "t")):
        wanted = registration(input=ProcessInput.engine("conformance.work", value))
        with refused(InvalidRegistrationError, path):
            await stores.process_registry.register_process(wanted)
