"""A runtime is built in one order, whatever way in (``docs/contracts/sessions.md`` 2.7)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import PluginSessionError
from lash_core.errors.session import SessionError
from lash_core.model.session import SessionPolicy
from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.plugins import PluginFactory, SessionPlugin
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.runtime.runtime_host import EmbeddedRuntimeHost, ProcessRuntimeHost
from lash_core.runtime.runtime_services import PersistentRuntimeServices, RuntimeServices
from lash_core.runtime.tools import Tool
from lash_core.testing.conformance.lifecycle.arrange import (
    OTHER_POLICY,
    POLICY,
    Pokes,
    Scene,
    notes_of,
    refused,
    texts_of,
    tool,
)
from lash_core.testing.conformance.session_scene import SessionStores, chain, opened


async def parts_take_over_their_states_in_order(stores: SessionStores) -> None:
    """Plugins are built and ready, restored, then tools, protocol with snapshots, then the event without them."""
    scene = Scene(stores)
    first = await scene.runtime()
    notes_of(first).count = 3
    await first.park()
    scene.log.clear()
    runtime = await scene.runtime()

    assert scene.log == [
        "ready True",
        "restore {'count': 3}",
        "protocol with add, snapshots True",
        "session_restored",
    ], scene.log
    assert runtime.state.tool_state_snapshot is None
    assert runtime.state.plugin_snapshot is None
    assert scene.facts["session_restored"]["read_view"].session_id == scene.session_id


async def a_blank_session_id_becomes_a_fresh_one(stores: SessionStores) -> None:
    """Each time another."""
    scene = Scene(stores)
    ids = set[str]()
    for _ in range(2):
        state = RuntimeSessionState(session_id=" ")
        runtime = await LashRuntime.from_environment(scene.environment(), POLICY, state)
        ids.add(runtime.session_id)

    assert len(ids) == 2
    assert all(session_id.strip() for session_id in ids)


async def with_a_store_a_blank_session_id_is_the_stores(stores: SessionStores) -> None:
    """It is bound to one session: no other id could ever be stored there."""
    scene = Scene(stores)
    state = RuntimeSessionState(session_id="")

    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, state, await scene.store())

    assert scene.session_id == runtime.session_id
    await runtime.park()
    assert 0 < await scene.revision()


async def an_unconfigured_policy_is_filled_and_a_configured_one_stays(stores: SessionStores) -> None:
    """In the state and in the assignment of its first frame."""
    scene = Scene(stores)
    filled = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    kept = await LashRuntime.from_environment(
        scene.environment(), POLICY, RuntimeSessionState(scene.session_id, policy=OTHER_POLICY)
    )
    frame = filled.state.current_agent_frame()

    assert (filled.policy, kept.policy) == (POLICY, OTHER_POLICY)
    assert frame is not None
    assert (frame.frame_id, frame.assignment.policy) == (f"{scene.session_id}:frame:initial", POLICY)


async def a_blank_model_is_refused(stores: SessionStores) -> None:
    """Only the run of a process may come without."""
    scene = Scene(stores)
    async with refused(SessionError, "session policy missing model spec"):
        await LashRuntime.from_environment(
            scene.environment(), SessionPolicy(provider_id="p"), RuntimeSessionState(scene.session_id)
        )
    runtime = await LashRuntime.from_environment(
        scene.environment(), SessionPolicy(), RuntimeSessionState(scene.session_id), exclusive=False
    )

    assert not runtime.policy.is_configured


async def a_failed_construction_frees_the_sessions_id(stores: SessionStores) -> None:
    """The same plugin host may build it again."""
    scene = Scene(stores)
    environment = scene.environment()
    async with refused(SessionError):
        await LashRuntime.from_environment(environment, SessionPolicy(), RuntimeSessionState(scene.session_id))
    runtime = await LashRuntime.from_environment(environment, POLICY, RuntimeSessionState(scene.session_id))
    async with refused(PluginSessionError, "already registered"):
        await LashRuntime.from_environment(environment, POLICY, RuntimeSessionState(scene.session_id))
    runtime.unregister_plugin_session()
    runtime.unregister_plugin_session()

    again = await LashRuntime.from_environment(environment, POLICY, RuntimeSessionState(scene.session_id))
    assert again.session_id == scene.session_id


async def the_leaf_is_healed_before_anything_is_trimmed(stores: SessionStores) -> None:
    """On the full set of nodes: the last message in append order; the graph is then replaced."""
    scene = Scene(stores, residency=Residency.ACTIVE_PATH_ONLY)
    nodes = (*chain("a", "b"), *chain("c", after="a"))
    state = RuntimeSessionState(
        scene.session_id, policy=POLICY, session_graph=SessionGraph(nodes, "gone"), head_revision=1
    )
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, state, await scene.store())

    assert texts_of(runtime) == ["a", "c"]
    assert [node.node_id for node in runtime.state.session_graph.nodes] == ["a", "c"]
    assert runtime.state.graph_replace_required


async def active_path_only_needs_a_store(stores: SessionStores) -> None:
    """What is trimmed could not be read again."""
    scene = Scene(stores, residency=Residency.ACTIVE_PATH_ONLY)
    environment = scene.environment()
    async with refused(SessionError, "Residency::ActivePathOnly requires a persistent store"):
        await LashRuntime.from_environment(environment, POLICY, RuntimeSessionState(scene.session_id))
    environment.residency = Residency.KEEP_ALL

    assert await LashRuntime.from_environment(environment, POLICY, RuntimeSessionState(scene.session_id))


async def every_pair_of_store_and_registry_is_a_runtime(stores: SessionStores) -> None:
    """Four constructors behind one way in; each also by itself."""
    scene = Scene(stores)
    found: list[tuple[bool, bool]] = []
    for store in (None, await scene.store()):
        for registry in (None, stores.process_registry):
            runtime = await LashRuntime.from_environment(
                scene.environment(process_registry=registry),
                POLICY,
                RuntimeSessionState(scene.session_id),
                store,
            )
            found.append((runtime.store is not None, runtime.host.process_registry is not None))

    assert found == [(False, False), (False, True), (True, False), (True, True)]


async def the_four_constructors_stand_by_themselves(stores: SessionStores) -> None:
    """Host and services as the caller has them."""
    scene = Scene(stores)
    embedded = EmbeddedRuntimeHost(scene.host)
    background = ProcessRuntimeHost(embedded, stores.process_registry)

    def session() -> RuntimeServices:
        host = scene.environment().plugin_host
        assert host is not None
        return RuntimeServices(host.build_session(scene.session_id))

    def state() -> RuntimeSessionState:
        return RuntimeSessionState(scene.session_id)

    store = await scene.store()
    runtimes = [
        await LashRuntime.from_embedded_state(POLICY, embedded, session(), state()),
        await LashRuntime.from_background_state(POLICY, background, session(), state()),
        await LashRuntime.from_persistent_embedded_state(
            POLICY, embedded, PersistentRuntimeServices(session().plugin_session, store), state()
        ),
        await LashRuntime.from_persistent_background_state(
            POLICY, background, PersistentRuntimeServices(session().plugin_session, store), state()
        ),
    ]

    assert [(one.store is not None, one.host.process_registry is not None) for one in runtimes] == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]


async def work_drivers_of_the_environment_are_the_runtimes(stores: SessionStores) -> None:
    """So that what it starts and queues is driven at once."""
    scene, pokes = Scene(stores), Pokes()
    runtime = await scene.runtime(process_work_driver=pokes, queued_work_driver=pokes)
    plain = await scene.runtime()

    assert runtime.host.process_work_driver is pokes
    assert runtime.host.queued_work_driver is pokes
    assert plain.host.queued_work_driver is None


async def a_plugin_host_is_needed(stores: SessionStores) -> None:
    """An environment without one builds nothing."""
    scene = Scene(stores)
    async with refused(SessionError, "plugin_host is required"):
        await LashRuntime.from_environment(
            scene.environment(plugin_host=None), POLICY, RuntimeSessionState(scene.session_id)
        )


async def a_store_of_another_session_is_refused(stores: SessionStores) -> None:
    """The error names both sessions."""
    scene = Scene(stores)
    other = await opened(stores)
    async with refused(SessionError, f"bound to session `{other.session_id}`", scene.session_id):
        await EmbeddedRuntimeBuilder(session_id=scene.session_id, policy=POLICY, store=other).build()
    async with refused(SessionError, f"bound to session `{other.session_id}`", scene.session_id):
        await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id), other)


async def what_is_stored_wins_over_the_builder(stores: SessionStores) -> None:
    """Model and provider; the builder only fills blanks."""
    scene = Scene(stores)
    await scene.settled()
    scene.policy = OTHER_POLICY
    runtime = await scene.runtime()
    blank = Scene(stores, policy=OTHER_POLICY)

    assert runtime.policy == POLICY
    assert (await blank.runtime()).policy == OTHER_POLICY


async def every_runtime_is_an_owner_of_its_own(stores: SessionStores) -> None:
    """Two opens of one session exclude each other, unless an orchestrator says who they are."""
    scene = Scene(stores)
    one, two = await scene.runtime(), await scene.runtime()

    assert one.runtime_scope_id != two.runtime_scope_id
    assert one.runtime_lease_owner.owner_id == one.runtime_scope_id
    assert not one.runtime_lease_owner.same_incarnation(two.runtime_lease_owner)
    two.set_runtime_lease_owner(one.runtime_lease_owner)
    assert one.runtime_lease_owner.same_incarnation(two.runtime_lease_owner)


async def with_a_store_attachments_are_noted_before_their_bytes(stores: SessionStores) -> None:
    """In a namespace of the session; without a store they are the host's."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    attachments = runtime.attachments
    assert isinstance(attachments, SessionAttachments)
    reference = await attachments.put(b"bytes of " + scene.session_id.encode())
    manifest = scene.host.durability.attachment_manifest
    plain = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState("plain"))

    assert await manifest.holds_ref(scene.session_id, reference.attachment_id)
    assert not isinstance(plain.attachments, SessionAttachments)


class _Grown(SessionPlugin):
    """Offers one tool more for each time that it was stored."""

    def __init__(self) -> None:
        self.level = 0

    @property
    def revision(self) -> int:
        return self.level

    def snapshot(self) -> int:
        return self.level

    def restore(self, state: object) -> None:
        self.level = 1 if state is None else int(str(state)) + 1

    def tools(self) -> Sequence[Tool]:
        return [tool(f"grown-{number}") for number in range(self.level)]


class _GrownFactory(PluginFactory):
    plugin_id = "grown"

    def build(self, session_id: str) -> SessionPlugin:
        return _Grown()


async def tools_that_depend_on_a_plugins_state_are_in_the_catalog(stores: SessionStores) -> None:
    """The catalog is read again after plugins were restored."""
    scene, found = Scene(stores), list[list[str]]()
    for _ in range(2):
        runtime = await scene.runtime(plugin_host=PluginHost([_GrownFactory()]))
        found.append([name.name for name in runtime.tools.catalog() if name.name.startswith("grown")])
        await runtime.park()

    assert found == [["grown-0"], ["grown-0", "grown-1"]]


async def tools_that_nobody_offers_are_no_reason_not_to_open(stores: SessionStores) -> None:
    """They are kept as orphans, and come back with their source."""
    scene = Scene(stores, tools=[tool("add"), tool("gone")])
    await scene.settled()
    scene.tools = [tool("add")]
    runtime = await scene.runtime()

    assert [manifest.name for manifest in runtime.tools.catalog()] == ["add"]
    assert runtime.tools.export_state().tools["gone"].orphaned
