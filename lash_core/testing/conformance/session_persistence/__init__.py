"""The conformance suite of ``lash_core.store.runtime_persistence.RuntimePersistence``: commits and reads.

Cases run as those of ``process_registry`` do: own sessions, any order, one at a time per set of stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.session_persistence import (
    blobs,
    commit_effects,
    commit_order,
    graph,
    own_copies,
)
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[SessionStores], Awaitable[None]]

_MODULES = (
    commit_order,
    commit_effects,
    graph,
    blobs,
    own_copies,
)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
