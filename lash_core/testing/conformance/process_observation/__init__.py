"""The conformance suite of ``lash_core.store.process_observation.ProcessObservation``.

Cases of ``newest_changes`` look at all rows of their stores: one at a time, and nothing beside them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.process_observation import (
    newest_changes,
    processes_of_session,
    recent_events_of,
)
from lash_core.testing.conformance.stores import ConformanceStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[ConformanceStores], Awaitable[None]]

_MODULES = (newest_changes, processes_of_session, recent_events_of)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
