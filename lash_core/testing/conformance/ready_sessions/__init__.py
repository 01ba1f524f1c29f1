"""The conformance suite of ``lash_core.store.ready_sessions.ReadySessions``.

Cases look at all sessions of the stores: they need stores that no other case uses at the same time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.ready_sessions import (
    claim,
    crowd,
    give_back,
)
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[SessionStores], Awaitable[None]]

_MODULES = (claim, give_back, crowd)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
