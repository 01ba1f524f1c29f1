"""The conformance suite of a runtime's handle: what it publishes, records and answers to those who watch.

``docs/contracts/observation.md`` 5, ``docs/contracts/sessions.md`` 2.10.

Real runtimes over any set of stores with rings. Cases run as those of ``process_registry`` do: own sessions, any order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.observation import (
    failing_rings,
    publishing,
    queue_events,
    recording,
    redone_turns,
    watching,
)
from lash_core.testing.conformance.observation.arrange import WatchedStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[WatchedStores], Awaitable[None]]

_MODULES = (publishing, recording, watching, failing_rings, queue_events, redone_turns)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
