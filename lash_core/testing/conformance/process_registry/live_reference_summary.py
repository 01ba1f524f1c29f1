"""``live_reference_summary``: contract 2.6, drainage."""

from __future__ import annotations

from lash_core.model.process_input import ProcessIdentity
from lash_core.model.registration import ProcessRegistration
from lash_core.testing.conformance.process_registry.arrange import completed, registered, registration, unique
from lash_core.testing.conformance.stores import ConformanceStores


async def groups_live_rows_by_definition_and_environment(stores: ConformanceStores) -> None:
    """Ended rows do not count; the order is the same on every call."""
    name = unique("definition")
    ref_a, ref_b = (f"process-env:sha256:{digit * 64}" for digit in "ab")

    def defined(rev: int, env_ref: str) -> ProcessRegistration:
        identity = ProcessIdentity(kind="conformance.work", definition={"name": name, "rev": rev})
        return registration(identity=identity, env_ref=env_ref)

    for rev, env_ref in ((1, ref_a), (1, ref_a), (1, ref_b), (2, ref_a)):
        await registered(stores, defined(rev, env_ref))
    await completed(stores, defined(2, ref_a))

    summary = await stores.process_registry.live_reference_summary()

    mine = {
        (item.definition["rev"], item.env_ref): item.count
        for item in summary
        if isinstance(item.definition, dict) and item.definition.get("name") == name
    }
    assert {(1, ref_a): 2, (1, ref_b): 1, (2, ref_a): 1} == mine
    again = await stores.process_registry.live_reference_summary()
    assert [item.definition for item in summary] == [item.definition for item in again]
