"""The conformance suite of await-event promises: ``PromiseStore``, and the resolver over it that checks keys.

Cases run as those of ``process_registry`` do: own ids, any order, one at a time per set of stores. Which case notices
which broken rule is listed in docs/adr/0100.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.await_events import (
    await_event,
    ended_processes,
    keys,
    listening,
    open_promise,
    resolve_promise,
    revoked_sessions,
    sweeps,
)
from lash_core.testing.conformance.stores import EffectStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[EffectStores], Awaitable[None]]

_MODULES = (keys, resolve_promise, open_promise, await_event, sweeps, revoked_sessions, ended_processes, listening)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
