"""Snapshots beside a session's head: stored by their content, kept by their refs, swept.

``docs/contracts/sessions.md`` 1.4, 2.2.
"""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError
from lash_core.model.plugin_snapshot import PluginSessionSnapshot
from lash_core.model.session_commit import CheckpointDraft, CommitManifest, GcReport
from lash_core.model.tool_state import ToolEntry, ToolManifest, ToolState
from lash_core.store.runtime_persistence import SESSION_BLOB_INLINE_MAX
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import SessionStores, committed, leased, loaded, opened

TOOLS = ToolState(generation=3, tools={"t1": ToolEntry(manifest=ToolManifest("t1", "one"), member=False)})


async def snapshots_come_back(stores: SessionStores) -> None:
    """Tool state, plugin snapshot and execution state, with the refs that the commit answered."""
    store = await opened(stores)
    plugins = PluginSessionSnapshot()
    draft = CheckpointDraft(
        tool_state=TOOLS, plugin_snapshot=plugins, plugin_snapshot_revision=7, execution_state={"n": [1, "\u00e9"]}
    )

    result = await committed(store, checkpoint=draft)

    checkpoint, manifest = (await loaded(store)).checkpoint, result.manifest
    assert (TOOLS, plugins, {"n": [1, "\u00e9"]}) == (
        checkpoint.tool_state,
        checkpoint.plugin_snapshot,
        checkpoint.execution_state,
    )
    assert (manifest.tool_state_ref, manifest.plugin_snapshot_ref, manifest.execution_state_ref) == (
        checkpoint.tool_state_ref,
        checkpoint.plugin_snapshot_ref,
        checkpoint.execution_state_ref,
    )
    assert (3, 7) == (manifest.tool_state_generation, manifest.plugin_snapshot_revision)
    assert None not in (manifest.tool_state_ref, manifest.plugin_snapshot_ref, manifest.execution_state_ref)


async def a_ref_keeps_what_is_stored(stores: SessionStores) -> None:
    """A commit that names the ref need not bring the snapshot; one that names neither has none."""
    store = await opened(stores)
    first = (await committed(store, checkpoint=CheckpointDraft(tool_state=TOOLS, execution_state=[1]))).manifest

    kept = CheckpointDraft(tool_state_ref=first.tool_state_ref, tool_state_generation=first.tool_state_generation)
    second = (await committed(store, checkpoint=kept)).manifest

    assert CommitManifest(tool_state_ref=first.tool_state_ref, tool_state_generation=3) == second
    checkpoint = (await loaded(store)).checkpoint
    assert (TOOLS, 3, None) == (checkpoint.tool_state, checkpoint.tool_state_generation, checkpoint.execution_state)


async def an_unknown_ref_is_refused(stores: SessionStores) -> None:
    """A head never names what is not stored: neither what was never there nor what another session has."""
    store, other = await opened(stores), await opened(stores)
    theirs = (await committed(other, checkpoint=CheckpointDraft(execution_state={"n": 1}))).manifest.execution_state_ref
    assert theirs is not None
    lease = await leased(store)

    for ref in (theirs, theirs[:-2] + ("00" if theirs[-2:] != "00" else "11")):
        with refused(InvalidArgumentError):
            await committed(store, lease, checkpoint=CheckpointDraft(execution_state_ref=ref))

    assert await store.load_session() is None


async def equal_snapshots_have_one_ref(stores: SessionStores) -> None:
    """By content: the same state of another session has the same ref, another one another."""
    one, two = await opened(stores), await opened(stores)

    refs = [
        (await committed(store, checkpoint=CheckpointDraft(execution_state=state))).manifest.execution_state_ref
        for store, state in ((one, {"n": 1}), (two, {"n": 1}), (one, {"n": 2}))
    ]

    assert refs[0] == refs[1] != refs[2]


async def large_snapshots_come_back(stores: SessionStores) -> None:
    """Also those that are stored once for all sessions, and after a session that shared them is gone."""
    one, two = await opened(stores), await opened(stores)
    states = ["x" * (SESSION_BLOB_INLINE_MAX - 2), "y" * (SESSION_BLOB_INLINE_MAX - 1), "z" * 300_000]
    for state in states:
        for store in (one, two):
            result = await committed(store, checkpoint=CheckpointDraft(execution_state=state))
            assert state == (await loaded(store)).checkpoint.execution_state
            again = CheckpointDraft(execution_state_ref=result.manifest.execution_state_ref)
            await committed(store, checkpoint=again)
            assert state == (await loaded(store)).checkpoint.execution_state


async def unnamed_blobs_are_swept(stores: SessionStores) -> None:
    """What the head names stays; a repeat finds nothing to do."""
    store = await opened(stores)
    for n in range(3):
        await committed(store, checkpoint=CheckpointDraft(tool_state=TOOLS, execution_state={"n": n}))

    report = await store.gc_unreachable()

    assert 1 == report.root_count, "one head is one root, however many blobs it names"
    assert report.deleted_blob_count >= 2
    assert 3 == report.retained_blob_count, "checkpoint, tool state and execution state"
    assert GcReport(root_count=1, retained_blob_count=3) == await store.gc_unreachable()
    checkpoint = (await loaded(store)).checkpoint
    assert (TOOLS, {"n": 2}) == (checkpoint.tool_state, checkpoint.execution_state)


async def nothing_is_swept_where_nothing_is(stores: SessionStores) -> None:
    """A session without a head has no blobs."""
    store = await opened(stores)

    report = await store.gc_unreachable()

    assert (0, 0, 0) == (report.root_count, report.retained_blob_count, report.deleted_blob_count)
