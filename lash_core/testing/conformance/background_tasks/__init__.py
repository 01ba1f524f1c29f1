"""The conformance suite of background tasks: hosts, rows and the capability over any set of stores.

``docs/contracts/background_tasks.md``. The stores need ``background_tasks`` beside what sessions need. Each rule of a
host is tried on one in memory and on one over the stores.

Cases run as those of ``process_registry`` do: own sessions, any order, one at a time per set of stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.background_tasks import (
    adoption,
    adoption_races,
    cancels,
    capability,
    ends,
    external,
    hidden,
    managed,
    monitors,
    move_crashes,
    subscriptions,
    task_rows,
    transfers,
    without_host,
)
from lash_core.testing.conformance.background_tasks.arrange import BackgroundStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[BackgroundStores], Awaitable[None]]

_MODULES = (
    hidden,
    managed,
    external,
    ends,
    cancels,
    transfers,
    subscriptions,
    capability,
    without_host,
    task_rows,
    adoption,
    adoption_races,
    move_crashes,
    monitors,
)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
