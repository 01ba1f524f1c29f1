"""The observing side of a registry."""

from __future__ import annotations

from lash_core.store.process_observation import ProcessObservation, SessionProcessPage
from lash_core.testing.conformance.stores import ConformanceStores


def observed(stores: ConformanceStores) -> ProcessObservation:
    """The registry as views ask it.

    Raises:
        AssertionError: it lacks a verb of ``ProcessObservation``.
    """
    registry = stores.process_registry
    assert isinstance(registry, ProcessObservation), f"{type(registry).__name__} is no ProcessObservation"
    return registry


def ids(page: SessionProcessPage) -> list[str]:
    """Process ids in the order of the page."""
    return [one.record.id for one in page.processes]
