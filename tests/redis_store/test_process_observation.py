"""Views of processes on Redis: large sessions, and rows that go while they are read."""

from __future__ import annotations

import pytest

from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.redis_store import process_observation
from lash_core.testing.conformance.process_registry.arrange import completed, registered, registration, scope
from tests.redis_store.conftest import OpenStores


async def test_a_session_with_very_many_processes_is_read_in_steps(
    open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answer, whichever way its hashes are read; of too many, as many as are looked at."""
    async with open_stores(partitions=4) as stores:
        mine = scope()
        for _ in range(5):
            record = await registered(stores, registration(wake_target=mine))
            await stores.process_registry.grant_handle(mine, record.id, ProcessHandleDescriptor())
        whole = await stores.process_registry.processes_of_session(mine.session_id)
        monkeypatch.setattr(process_observation, "WHOLE_MAX", 0)
        monkeypatch.setattr(process_observation, "SCAN_PAGE", 2)
        in_steps = await stores.process_registry.processes_of_session(mine.session_id)
        monkeypatch.setattr(process_observation, "SESSION_PROCESSES_MAX", 3)
        bounded = await stores.process_registry.processes_of_session(mine.session_id)

    assert 5 == whole.total
    assert whole == in_steps
    assert 3 == bounded.total


async def test_an_id_that_begins_anew_has_a_tail_of_its_own(open_stores: OpenStores) -> None:
    """The registration that a client remembers is of the old life."""
    async with (
        open_stores() as reader,
        open_stores() as other,
    ):
        old = await completed(other, registration("p"))
        assert 1 == len((await reader.process_registry.recent_events_of(["p"], 5))[0])
        await other.process_registry.prune_terminal_processes(old.updated_at_ms + 60_000)
        await completed(other, registration("p", queue="another"))

        (tail,) = await reader.process_registry.recent_events_of(["p"], 5)
        await other.process_registry.prune_terminal_processes(old.updated_at_ms + 60_000)
        (gone,) = await reader.process_registry.recent_events_of(["p"], 5)

    assert 1 == len(tail)
    assert () == gone
