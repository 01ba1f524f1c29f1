"""The queue and the process handles of a session, on its handle (``docs/contracts/sessions.md`` 2.10)."""

from __future__ import annotations

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessListMode
from lash_core.model.queued_work import DeliveryPolicy, SessionCommandPayload, SlotPolicy, TurnInputPayload
from lash_core.model.scope import SessionScope
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.turn_input import TurnInput, TurnInputCancelTarget
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.tool_sources import ListedToolSource
from lash_core.runtime.tools import Tool
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Pokes, Scene, refused, tool
from lash_core.testing.conformance.process_registry.arrange import completed, registration, unique
from lash_core.testing.conformance.session_scene import SessionStores, claimed, leased, put_in


async def an_input_becomes_a_batch_of_one(stores: SessionStores) -> None:
    """With its policies and key; who works queues off is told."""
    scene, pokes = Scene(stores), Pokes()
    runtime = await scene.runtime(queued_work_driver=pokes)
    batch = await runtime.enqueue_turn_input(
        TurnInput.text("hi"), DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT, SlotPolicy.EXCLUSIVE, "key"
    )
    again = await runtime.enqueue_turn_input(TurnInput.text("other"), source_key="key")
    (stored,) = await (await scene.store()).list_queued_work(scene.session_id)

    assert (batch.delivery_policy, batch.slot_policy, batch.source_key) == (
        DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT,
        SlotPolicy.EXCLUSIVE,
        "key",
    )
    assert again == batch == stored
    assert batch.payloads == (TurnInputPayload(TurnInput.text("hi")),)
    assert pokes.told == [(scene.session_id, "queued_turn_input")] * 2


async def a_driver_that_fails_loses_no_input(stores: SessionStores) -> None:
    """The poke is a hint."""

    def fail() -> None:
        raise LookupError("nobody home")

    scene = Scene(stores)
    runtime = await scene.runtime(queued_work_driver=Pokes(fail))
    await runtime.enqueue_turn_input(TurnInput.text("hi"))

    assert len(await (await scene.store()).list_pending_queued_work(scene.session_id)) == 1


async def live_parts_cannot_be_queued(stores: SessionStores) -> None:
    """A protocol's extension or a plugin's live input would be lost silently."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    async with refused(InvalidArgumentError, "live"):
        await runtime.enqueue_turn_input(TurnInput.text("hi").model_copy(update={"protocol_extension": object()}))

    assert await (await scene.store()).list_queued_work(scene.session_id) == ()


async def without_a_store_nothing_is_queued(stores: SessionStores) -> None:
    """The error's code is that of a commit that failed."""
    scene = Scene(stores)
    runtime = await LashRuntime.from_environment(scene.environment(), POLICY, RuntimeSessionState(scene.session_id))
    async with refused(RuntimeFailure, "queued turn input requires a persistent runtime store") as caught:
        await runtime.enqueue_turn_input(TurnInput.text("hi"))
    async with refused(RuntimeFailure, "requires a persistent runtime store"):
        await runtime.cancel_queued_work_batch("qwb:x")

    assert caught[0].code == "store_commit_failed"


async def a_batch_is_cancelled_until_somebody_has_it(stores: SessionStores) -> None:
    """The answer is the batch; None for one that is claimed, cancelled or unknown."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    first = await runtime.enqueue_turn_input(TurnInput.text("a"), slot_policy=SlotPolicy.EXCLUSIVE)
    second = await runtime.enqueue_turn_input(TurnInput.text("b"))
    store = await scene.store()
    claim = await claimed(store, await leased(store))

    assert await runtime.cancel_queued_work_batch(first.batch_id) is None
    assert await runtime.cancel_queued_work_batch(second.batch_id) == second
    assert await runtime.cancel_queued_work_batch(second.batch_id) is None
    assert await runtime.abandon_queued_work_claim(claim) == (first.batch_id,)
    assert await runtime.cancel_queued_work_batch(first.batch_id) == first


async def pending_inputs_are_cancelled_one_by_one_or_from_one_on(stores: SessionStores) -> None:
    """One outcome a target, in order."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    store = await scene.store()
    rows = [await put_in(store, text) for text in ("a", "b", "c", "d")]
    one = await runtime.cancel_pending_turn_input(TurnInputCancelTarget(input_id=rows[0].input_id))
    several = await runtime.cancel_pending_turn_inputs(
        [TurnInputCancelTarget(input_id="never"), TurnInputCancelTarget(input_id=rows[1].input_id)]
    )
    suffix = await runtime.cancel_pending_turn_input_suffix(TurnInputCancelTarget(input_id=rows[2].input_id))

    assert one.outcome == "cancelled"
    assert [outcome.outcome for outcome in several] == ["not_found", "cancelled"]
    assert suffix.anchor_found
    assert [outcome.outcome for outcome in suffix.outcomes] == ["cancelled", "cancelled"]


async def a_command_that_fails_holds_nothing_up(stores: SessionStores) -> None:
    """A source that cannot list its tools keeps those it had; what is queued behind the command comes next."""
    scene = Scene(stores)
    runtime = await scene.runtime()
    works = True

    def listing() -> list[Tool]:
        if not works:
            raise LookupError("no connection")
        return [tool("far")]

    runtime.tools.upsert_source(ListedToolSource("s", listing))
    works = False
    batch = await runtime.submit_session_command(SessionCommandPayload(command="refresh_tool_catalog"), "k")
    behind = await runtime.enqueue_turn_input(TurnInput.text("hi"))
    drained = await runtime.drain_next_session_command()

    assert drained == batch
    assert [row.batch_id for row in await (await scene.store()).list_queued_work(scene.session_id)] == [behind.batch_id]
    assert [manifest.name for manifest in runtime.tools.catalog()] == ["add", "far"]


async def handles_of_session_and_frame_are_listed_once(stores: SessionStores) -> None:
    """By process id; live ones, or all that are granted."""
    scene = Scene(stores)
    registry = stores.process_registry
    runtime = await scene.runtime(process_registry=registry)
    root = SessionScope(scene.session_id)
    frame = SessionScope(scene.session_id, runtime.state.current_agent_frame_id)
    ids = sorted(unique("p") for _ in range(3))
    for process_id in (ids[0], ids[2]):
        await registry.register_process(registration(process_id))
    await completed(stores, registration(ids[1]))
    for scope, process_id in ((root, ids[2]), (root, ids[1]), (frame, ids[1]), (frame, ids[0])):
        await registry.grant_handle(scope, process_id, ProcessHandleDescriptor("job"))
    live, every = await runtime.list_process_handles(), await runtime.list_process_handles(ProcessListMode.ALL)

    assert [handle["id"] for handle in live] == [ids[0], ids[2]]
    assert [handle["id"] for handle in every] == ids
    assert await (await scene.runtime()).list_process_handles() == ()
