"""``handles_for_process``: contract 2.3."""

from __future__ import annotations

from lash_core.errors import UnknownProcessError
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.process_registry.arrange import registered, scope, unique, unknown_text
from lash_core.testing.conformance.stores import ConformanceStores


async def an_unknown_process_is_refused(stores: ConformanceStores) -> None:
    """Unlike a list of a scope, this read names a process."""
    process_id = unique("absent")

    with refused(UnknownProcessError, unknown_text(process_id)):
        await stores.process_registry.handles_for_process(process_id)


async def ordered_by_session_then_scope(stores: ConformanceStores) -> None:
    """Sessions in order, and within one the session scope before its frames."""
    record = await registered(stores)
    stem = unique("session")
    scopes = [
        scope(f"{stem}-b"),
        scope(f"{stem}-a", "f2"),
        scope(f"{stem}-a", "f1"),
        scope(f"{stem}-a"),
    ]
    for target in scopes:
        await stores.process_registry.grant_handle(target, record.id, ProcessHandleDescriptor())

    grants = await stores.process_registry.handles_for_process(record.id)

    expected = [
        f"session:{stem}-a",
        f"session:{stem}-a/frame:f1",
        f"session:{stem}-a/frame:f2",
        f"session:{stem}-b",
    ]
    assert expected == [grant.scope_id for grant in grants]
    assert [f"{stem}-a", f"{stem}-a", f"{stem}-a", f"{stem}-b"] == [grant.session_id for grant in grants]
