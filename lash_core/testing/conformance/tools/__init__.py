"""The conformance suite of a session's tools: which exist, which are members, what a stored state says.

``docs/contracts/sessions.md`` 2.13.

Real runtimes over any set of stores. Cases run as those of ``process_registry`` do: own sessions, any order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.suite import cases_of
from lash_core.testing.conformance.tools import access, applied, restored, sources

Case = Callable[[SessionStores], Awaitable[None]]

_MODULES = (restored, applied, sources, access)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
