"""The conformance suite of ``lash_core.store.process_run_waits.ProcessRunWaits`` and of rows that leave memory.

Cases run as those of ``process_registry`` do: own ids, any order, one at a time per set of stores. Which case notices
which broken rule is listed in docs/adr/0100.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.run_waits import (
    due_times,
    look_at_run,
    parked_releases,
    retry_process,
    signal_waits,
    watch_processes,
)
from lash_core.testing.conformance.stores import EffectStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[EffectStores], Awaitable[None]]

_MODULES = (look_at_run, signal_waits, parked_releases, watch_processes, retry_process, due_times)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
