"""Sweeps beside other work: what is put, named and referred to meanwhile, failures, going on (``content_sweep``)."""

from __future__ import annotations

import asyncio

from lash_core.errors import StoreRefusedError
from lash_core.model.attachment import AttachmentOwner
from lash_core.runtime.attachment_roots import AttachmentRoots
from lash_core.runtime.content_sweep import (
    reclaim_unreferenced_attachments,
)
from lash_core.store.content_sweep import ContentPage, StoredContent, SweptContent
from lash_core.testing.conformance.content_cases import fresh_bytes
from lash_core.testing.conformance.process_registry.arrange import registration, unique
from lash_core.testing.conformance.stores import can_advance, elapse
from lash_core.testing.conformance.sweep_scene import GRACE_MS, SweepStores, environment, facade, is_there, sweep_of


async def sweeps_side_by_side_are_harmless(stores: SweepStores) -> None:
    """Everything unnamed goes once, and everything named stays."""
    named = await environment(stores)
    await stores.process_registry.register_process(registration(env_ref=named))
    unnamed = [await stores.artifacts.put_artifact(fresh_bytes()) for _ in range(10)]
    await elapse(stores, GRACE_MS + 100)

    reports = await asyncio.gather(*(sweep_of(stores).run_pass() for _ in range(3)))

    assert sum(report.deleted for report in reports) >= 10
    assert [] == [failure for report in reports for failure in report.failures]
    assert [False] * 10 == [await is_there(stores, ref) for ref in unnamed]
    assert await is_there(stores, named)


async def what_is_put_during_a_sweep_stays(stores: SweepStores) -> None:
    """A put after the sweep has seen the old bytes makes them new ones."""
    data = fresh_bytes()
    ref = await stores.artifacts.put_artifact(data)
    await elapse(stores, GRACE_MS + 100)
    sweep = sweep_of(stores)
    await sweep.step()

    await stores.artifacts.put_artifact(data)
    report = await sweep.run_pass()

    assert data == await stores.artifacts.get_artifact(ref)
    assert report.put_meanwhile >= 1


async def what_a_row_names_during_a_sweep_stays(stores: SweepStores) -> None:
    """A start whose environment nobody put again: the walk has passed, and the registration has refreshed its age."""
    env_ref = await environment(stores)
    await elapse(stores, GRACE_MS + 100)
    sweep = sweep_of(stores)
    # The walk begins with the rows: the one that comes now is behind it.
    assert await sweep.step() is None

    if await can_advance(stores):
        await stores.process_registry.register_process(registration(env_ref=env_ref))
        await sweep.run_pass()

        assert await is_there(stores, env_ref)


async def what_a_session_refers_to_during_a_sweep_stays(stores: SweepStores) -> None:
    """By a put of the same bytes, and by adopting those of another session that drops them."""
    data, other = fresh_bytes(), fresh_bytes()
    ref = await stores.attachments.put(data)
    theirs = facade(stores, unique("other"))
    adopted = await theirs.put(other)
    await elapse(stores, GRACE_MS + 100)
    sweep = sweep_of(stores)
    # As far as references: those that come now are behind the walk.
    for _ in stores.content_roots[:3]:
        assert await sweep.step() is None

    mine = facade(stores, unique("session"))
    await mine.put(data)
    await mine.adopt(adopted.attachment_id, theirs)
    await theirs.delete(adopted.attachment_id)
    await sweep.run_pass()

    assert data == await mine.get(ref.attachment_id)
    assert other == await mine.get(adopted.attachment_id)


async def a_sweep_goes_on_where_it_was(stores: SweepStores) -> None:
    """Step by step it comes to the same end, and the next pass has nothing left to do."""
    refs = [await stores.artifacts.put_artifact(fresh_bytes()) for _ in range(3)]
    await elapse(stores, GRACE_MS + 100)
    sweep = sweep_of(stores)

    assert await sweep.step() is None
    assert sweep.is_walking
    report = await sweep.run_pass()

    assert not sweep.is_walking
    assert report.deleted >= 3
    assert [False] * 3 == [await is_there(stores, ref) for ref in refs]
    assert 0 == (await sweep.run_pass()).deleted


class _Failing:
    """A backend that cannot delete one attachment."""

    def __init__(self, inner: SweptContent, ref: str) -> None:
        self._inner = inner
        self._ref = ref

    @property
    def family(self) -> str:
        return self._inner.family

    async def list_stored(self, cursor: str | None = None, limit: int = 100, *, min_age_ms: int = 0) -> ContentPage:
        return await self._inner.list_stored(cursor, limit, min_age_ms=min_age_ms)

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        if stored.ref == self._ref:
            raise StoreRefusedError("disk full", field="test", value="test")
        return await self._inner.delete_unchanged(stored)


async def a_failure_is_recorded_and_the_reclaim_goes_on(stores: SweepStores) -> None:
    """The report names what stayed and why; the next reclaim tries it again."""
    refs = [(await stores.attachments.put(fresh_bytes())).attachment_id for _ in range(4)]
    kept = facade(stores, unique("session"), AttachmentOwner.turn("turn-1"))
    held = await kept.put(fresh_bytes())
    await elapse(stores, GRACE_MS + 100)
    registry = stores.process_registry
    roots = AttachmentRoots(stores.attachment_manifest, registry)
    broken = _Failing(stores.attachments, refs[1])

    report = await reclaim_unreferenced_attachments(roots, broken, GRACE_MS, now_ms=registry.server_time_ms)

    assert [refs[1]] == [failure.ref for failure in report.failures]
    assert [False, True, False, False] == [await is_there(stores, ref) for ref in refs]
    assert await kept.get(held.attachment_id)
    again = await reclaim_unreferenced_attachments(roots, stores.attachments, GRACE_MS, now_ms=registry.server_time_ms)
    assert (1, []) == (again.deleted, again.failures)
    assert again.kept >= 1


async def a_reclaim_without_grace_takes_what_nobody_refers_to(stores: SweepStores) -> None:
    """Age protects nothing then; a committed reference does."""
    turn = AttachmentOwner.turn("turn-1")
    mine = facade(stores, unique("session"), turn)
    ref = await mine.put(fresh_bytes())
    await stores.attachment_manifest.commit_refs(mine.session_id, turn)
    loose = await stores.attachments.put(fresh_bytes())
    registry = stores.process_registry
    roots = AttachmentRoots(stores.attachment_manifest, registry)
    await elapse(stores, 5)

    await reclaim_unreferenced_attachments(roots, stores.attachments, 0, now_ms=registry.server_time_ms)

    assert await is_there(stores, ref.attachment_id)
    assert not await is_there(stores, loose.attachment_id)
