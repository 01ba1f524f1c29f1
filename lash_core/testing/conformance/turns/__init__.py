"""The conformance suite of turns: real runtimes with a scripted model over any set of stores.

``docs/contracts/sessions.md`` 3.

Cases run as those of ``process_registry`` do: own sessions, any order, one at a time per set of stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.session_scene import SessionStores
from lash_core.testing.conformance.suite import cases_of
from lash_core.testing.conformance.turns import (
    cancelled_turns,
    crashed_turns,
    failing_turns,
    frame_switches,
    plain_turns,
    queued_turns,
    tool_rounds,
)

Case = Callable[[SessionStores], Awaitable[None]]

_MODULES = (plain_turns, queued_turns, frame_switches, cancelled_turns, failing_turns, crashed_turns, tool_rounds)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
