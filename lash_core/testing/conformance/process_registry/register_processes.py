"""``register_processes``: the batch form of contract 2.1; atomic per item, one answer per item in order."""

from __future__ import annotations

from lash_core.errors import InvalidRegistrationError, LimitExceededError, RegistrationConflictError
from lash_core.model.process_input import ProcessInput
from lash_core.testing.conformance.process_registry.arrange import claim_ready, registered, registration, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def answers_every_item_in_order(stores: ConformanceStores) -> None:
    """Created, exists, conflict, invalid and too large each get their own answer; one bad item stops no other."""
    fresh = registration()
    known = registration()
    row = await registered(stores, known)
    conflict = registration(known.id, input=ProcessInput.engine("conformance.other"))
    invalid = registration().model_copy(update={"id": "a#b"})
    large = registration(input=ProcessInput.engine("conformance.work", "x" * 300_000))
    last = registration()

    outcomes = await stores.process_registry.register_processes([fresh, known, conflict, invalid, large, last])

    assert ["created", "exists", "error", "error", "error", "created"] == [item.status for item in outcomes]
    assert [fresh.id, known.id, known.id, "a#b", large.id, last.id] == [item.process_id for item in outcomes]
    assert row == outcomes[1].record
    assert isinstance(outcomes[2].error, RegistrationConflictError)
    assert isinstance(outcomes[3].error, InvalidRegistrationError)
    assert isinstance(outcomes[4].error, LimitExceededError)
    assert None is await stores.process_registry.get_process(large.id)
    assert outcomes[5].record == await stores.process_registry.get_process(last.id)


async def a_repeat_inside_one_batch_exists(stores: ConformanceStores) -> None:
    """The second of two equal items meets the first."""
    wanted = registration()
    other = registration(wanted.id, input=ProcessInput.engine("conformance.other"))

    outcomes = await stores.process_registry.register_processes([wanted, wanted, other])

    assert ["created", "exists", "error"] == [item.status for item in outcomes]
    assert outcomes[0].record == outcomes[1].record


async def repeating_a_batch_changes_nothing(stores: ConformanceStores) -> None:
    """The second call answers ``exists`` with the same rows."""
    wanted = [registration() for _ in range(5)]
    first = await stores.process_registry.register_processes(wanted)

    second = await stores.process_registry.register_processes(wanted)

    assert ["exists"] * 5 == [item.status for item in second]
    assert [item.record for item in first] == [item.record for item in second]


async def a_large_batch_is_cut_by_the_store(stores: ConformanceStores) -> None:
    """More items than one script call takes: still one answer each, and all rows are claimable."""
    queue = unique("queue")
    wanted = [registration(queue=queue) for _ in range(450)]

    outcomes = await stores.process_registry.register_processes(wanted)

    assert 450 == sum(item.status == "created" for item in outcomes)
    found = await claim_ready(stores, queue, limit=450)
    assert {item.id for item in wanted} == {item.lease.process_id for item in found}


async def an_empty_batch_answers_nothing(stores: ConformanceStores) -> None:
    """No item, no answer."""
    assert () == await stores.process_registry.register_processes([])
