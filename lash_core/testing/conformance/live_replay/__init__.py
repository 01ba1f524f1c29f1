"""The conformance suite of ``lash_core.store.live_replay_store``: rings that any program of the fleet writes and reads.

Cases use sessions of their own and the store's own bounds; those of ``closing`` and ``idle`` need stores of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.live_replay import (
    appends,
    bounds,
    closing,
    commits,
    crowds,
    forgotten,
    gaps,
    generations,
    idle,
    subscriptions,
)
from lash_core.testing.conformance.live_replay.arrange import LiveStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[LiveStores], Awaitable[None]]

_MODULES = (appends, bounds, closing, commits, crowds, forgotten, gaps, generations, idle, subscriptions)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
