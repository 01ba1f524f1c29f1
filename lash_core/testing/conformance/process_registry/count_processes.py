"""``count_processes``: the length of a list without its rows."""

from __future__ import annotations

from typing import Literal

from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity
from lash_core.testing.conformance.process_registry.arrange import OUTPUTS, completed, registered, registration, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def counts_what_a_list_lists(stores: ConformanceStores) -> None:
    """With facets, by status and in all."""
    kind = unique("kind")
    for _ in range(3):
        await registered(stores, registration(identity=ProcessIdentity(kind=kind)))
    for output in OUTPUTS.values():
        await completed(stores, registration(identity=ProcessIdentity(kind=kind)), output)

    async def count(status: Literal["running", "failed", "any"]) -> int:
        return await stores.process_registry.count_processes(ProcessFilter(status=status, identity_kind=kind))

    assert 3 == await count("running")
    assert 1 == await count("failed")
    assert 7 == await count("any")
    assert 0 == await stores.process_registry.count_processes(ProcessFilter(identity_kind=unique("none")))


async def counters_per_status_agree_with_the_lists(stores: ConformanceStores) -> None:
    """The kept counters follow starts, ends, cancels before the start and prunes."""
    kind = unique("kind")
    for output in OUTPUTS.values():
        await completed(stores, registration(identity=ProcessIdentity(kind=kind)), output)
    await stores.process_registry.prune_terminal_processes(2**53, ProcessFilter(status="completed", identity_kind=kind))

    for status in ("running", "completed", "failed", "cancelled", "abandoned", "any"):
        chosen = ProcessFilter(status=status)
        listed = len(await stores.process_registry.list_processes(chosen))
        assert listed == await stores.process_registry.count_processes(chosen), status
