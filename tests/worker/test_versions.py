"""Versions of apps in one fleet: recorded with each start, and a worker leaves alone what it does not have."""

from __future__ import annotations

from lash_core.memory_store.stores import InMemoryStores
from lash_core.runtime.process.context import ProcessContext
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.testing import running_apps


def versioned(version: str, pin: str | None = None, *kinds: str) -> App:
    """An app of a version; its kinds answer the version that ran them."""
    app = App("shop", version=version)

    async def run(ctx: ProcessContext) -> str | None:
        return ctx.app_version

    for kind in kinds or ("order",):
        app.process(kind, disposition="rerunnable", version=pin)(run)
    return app


async def test_each_start_records_the_version_it_was_made_with() -> None:
    """The client's app says it; who runs it may be another one, when the row is not pinned."""
    stores = InMemoryStores()
    async with running_apps((versioned("1"),), stores) as lash:
        handle = await lash.enqueue("order")
        assert "1" == await handle.result(timeout=5)
        assert "1" == (await handle.record()).app_version
    async with running_apps((versioned("2"),), stores) as lash:
        handle = await lash.enqueue("order")
        assert "2" == await handle.result(timeout=5)
        assert "2" == (await handle.record()).app_version


async def test_a_pinned_row_waits_for_a_worker_of_its_version() -> None:
    """Declined without counting an attempt, said by ``why``, and run as soon as somebody has the version."""
    stores = InMemoryStores()
    async with running_apps((versioned("1", "1"),), stores) as old, running_apps((versioned("2", "2"),), stores):
        handle = await old.enqueue("order")
        assert "1" == await handle.result(timeout=10)
        assert "1" == (await handle.record()).version_pin

    async with running_apps((versioned("2", "2"),), stores) as new:
        orphan = await old.enqueue("order", process_id="orphan")

        async def declined() -> bool:
            return "decline" in [entry.kind for entry in await stores.process_registry.audit_entries("orphan")]

        await eventually(declined)
        assert 0 == (await orphan.record()).attempt
        assert (await orphan.why()).reason in ("declined", "no_worker_with_version")
        assert "version 1 of kind order" in (await orphan.why()).text or "pinned" in (await orphan.why()).text
        assert "2" == await (await new.enqueue("order")).result(timeout=5)
        async with running_apps((versioned("1", "1"),), stores):
            assert "1" == await orphan.result(timeout=20)


async def test_a_kind_that_a_worker_lacks_is_left_to_one_that_has_it() -> None:
    """A fleet in the middle of a deploy."""
    stores = InMemoryStores()
    with_both = versioned("2", None, "order", "refund")
    async with running_apps((versioned("1"),), stores) as old:
        handle = await old.enqueue("refund", disposition="rerunnable")

        async def declined() -> bool:
            return (await handle.why()).reason in ("declined", "no_worker_with_kind")

        await eventually(declined)
        async with running_apps((with_both,), stores):
            assert "2" == await handle.result(timeout=20)
