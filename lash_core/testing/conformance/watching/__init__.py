"""The conformance suite of watching sessions from anywhere in a fleet (``docs/contracts/observation.md`` 6).

Cases run as those of ``process_registry`` do: own sessions, any order, one at a time per set of stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.suite import cases_of
from lash_core.testing.conformance.watching import followed_turns, lost_commits, observers, redone_turns, watches
from lash_core.testing.conformance.watching.arrange import WatchedStores

Case = Callable[[WatchedStores], Awaitable[None]]

_MODULES = (observers, watches, followed_turns, redone_turns, lost_commits)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
