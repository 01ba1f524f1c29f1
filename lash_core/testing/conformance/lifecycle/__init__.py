"""The conformance suite of a runtime's life: built, edited, parked, resumed, with children.

``docs/contracts/sessions.md`` 2.7 to 2.11.

Real runtimes over any set of stores. Cases run as those of ``process_registry`` do: own sessions, any order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.lifecycle import (
    child_turns,
    children,
    construction,
    edits,
    given_states,
    parking,
    queueing,
    reading_back,
    snapshots,
)
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[SessionStores], Awaitable[None]]

_MODULES = (construction, parking, snapshots, reading_back, edits, given_states, queueing, children, child_turns)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
