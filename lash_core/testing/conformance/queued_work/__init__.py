"""The conformance suite of ``lash_core.store.queued_work_store.QueuedWorkStore``.

Cases run as those of ``process_registry`` do: own sessions, any order, one at a time per set of stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.queued_work import (
    checkpoint,
    claim,
    claim_exact,
    commands,
    enqueue,
    pending_and_cancel,
    wakes,
)
from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[SessionStores], Awaitable[None]]

_MODULES = (
    enqueue,
    claim,
    claim_exact,
    commands,
    pending_and_cancel,
    checkpoint,
    wakes,
)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
