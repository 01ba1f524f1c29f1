"""States of tools and plugins are stored when they changed, and never erased.

``docs/contracts/sessions.md`` 1.4, 1.14.
"""

from __future__ import annotations

from lash_core.model.plugin_snapshot import PluginSnapshotArtifact
from lash_core.model.session_commit import PersistedSessionRead
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.session.child_starts import CreateSessionRequest, CurrentSessionStart
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Scene, notes_of, said, tool
from lash_core.testing.conformance.session_scene import SessionStores, loaded


async def _read(scene: Scene) -> PersistedSessionRead:
    return await loaded(await scene.store())


async def unchanged_states_keep_their_blobs(stores: SessionStores) -> None:
    """A commit of something else names the blobs that are there."""
    scene = Scene(stores)
    await scene.settled("a")
    before = (await _read(scene)).checkpoint
    await (await scene.runtime()).append_session_nodes(said("b"))
    after = (await _read(scene)).checkpoint

    assert before.tool_state_ref is not None
    assert before.plugin_snapshot_ref is not None
    assert (before.tool_state_ref, before.plugin_snapshot_ref) == (after.tool_state_ref, after.plugin_snapshot_ref)
    assert before.plugin_snapshot_revision == after.plugin_snapshot_revision
    assert before.tool_state_generation == after.tool_state_generation


async def a_changed_revision_stores_the_plugins(stores: SessionStores) -> None:
    """State and fingerprint follow; that of the tools stays."""
    scene = Scene(stores)
    await scene.settled("a")
    before = (await _read(scene)).checkpoint
    runtime = await scene.runtime()
    notes_of(runtime).count = 9
    await runtime.append_session_nodes(said("b"))
    after = (await _read(scene)).checkpoint

    assert after.plugin_snapshot is not None
    assert after.plugin_snapshot.plugins["notes"].meta.state == {"count": 9}
    assert after.plugin_snapshot_revision == after.plugin_snapshot.revision_fingerprint
    assert before.plugin_snapshot_revision != after.plugin_snapshot_revision
    assert before.tool_state_ref == after.tool_state_ref


async def a_state_that_changes_without_its_revision_is_not_stored(stores: SessionStores) -> None:
    """The revision is the plugin's word that there is something new."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    await runtime.append_session_nodes(said("a"))
    before = (await _read(scene)).checkpoint.plugin_snapshot_ref
    notes_of(runtime).snapshot = lambda: {"count": 77}
    await runtime.append_session_nodes(said("b"))

    assert (await _read(scene)).checkpoint.plugin_snapshot_ref == before


async def a_plugin_that_cannot_tell_its_state_erases_nothing(stores: SessionStores) -> None:
    """What is stored of all plugins stays; the commit goes through."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    notes_of(runtime).count = 3
    await runtime.append_session_nodes(said("a"))
    notes_of(runtime).count = 4
    notes_of(runtime).cannot_tell = True
    await runtime.append_session_nodes(said("b"))
    await runtime.park()

    assert (notes_of(await scene.runtime()).count, await scene.messages()) == (3, ["a", "b"])


async def a_changed_generation_stores_the_tools(stores: SessionStores) -> None:
    """An edit of the host is there after a rebuild."""
    scene = Scene(stores, tools=[tool("add"), tool("sub")])
    runtime = await scene.runtime()
    state = runtime.tools.export_state()
    opted_out = state.tools["sub"].model_copy(update={"member": False})
    runtime.tools.apply_state(state.model_copy(update={"tools": {**state.tools, "sub": opted_out}}))
    await runtime.park()
    again = await scene.runtime()

    assert [manifest.name for manifest in again.tools.catalog()] == ["add"]
    assert again.tools.generation == runtime.tools.generation == 2


class _Album(SessionPlugin):
    def __init__(self) -> None:
        self.pictures: dict[str, bytes] = {}

    @property
    def revision(self) -> int:
        return len(self.pictures)

    def snapshot_artifacts(self) -> tuple[PluginSnapshotArtifact, ...]:
        return tuple(PluginSnapshotArtifact(name, data) for name, data in self.pictures.items())

    def restore_artifacts(self, artifacts: object) -> None:
        assert isinstance(artifacts, tuple)
        self.pictures = {artifact.name: artifact.data for artifact in artifacts}


class _AlbumFactory(PluginFactory):
    plugin_id = "album"

    def build(self, session_id: str) -> SessionPlugin:
        return _Album()


async def artifacts_are_kept_byte_by_byte(stores: SessionStores) -> None:
    """Any bytes, beside a plugin's state."""
    scene, data = Scene(stores), bytes(range(256))
    runtime = await scene.runtime(plugin_host=PluginHost([_AlbumFactory()]))
    album = runtime.plugins.plugins["album"]
    assert isinstance(album, _Album)
    album.pictures["a"] = data
    await runtime.park()
    again = (await scene.runtime(plugin_host=PluginHost([_AlbumFactory()]))).plugins.plugins["album"]

    assert isinstance(again, _Album)
    assert again.pictures == {"a": data}


async def an_execution_state_is_stored_once(stores: SessionStores) -> None:
    """What a session is given to begin with leaves memory and is not lost; a fork keeps one of its own."""
    scene = Scene(stores)
    begun = RuntimeSessionState(scene.session_id, execution_state_snapshot={"line": 3})
    parent = await LashRuntime.from_environment(scene.environment(), POLICY, begun, await scene.store())
    in_memory = parent.state.execution_state_snapshot
    early = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    await parent.append_session_nodes(said("a"))
    late = await parent.create_session(CreateSessionRequest(start=CurrentSessionStart()))
    await parent.append_session_nodes(said("b"))
    stored = [await _read(Scene(stores, session_id=of.session_id)) for of in (parent, early, late)]

    assert in_memory is None
    assert [read.checkpoint.execution_state for read in stored] == [{"line": 3}] * 3
    assert [read.head_revision for read in stored] == [2, 1, 1]
