"""Queue and process handles on a handle, and what watchers are told of them (``docs/contracts/sessions.md`` 2.10)."""

from __future__ import annotations

from typing import Any, cast

from lash_core.errors import InvalidArgumentError, RuntimeFailure
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessListMode
from lash_core.model.queued_work import DeliveryPolicy, SessionCommandPayload, SlotPolicy
from lash_core.model.scope import SessionScope
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.turn_input import TurnInput, TurnInputCancelTarget
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.testing.conformance.lifecycle.arrange import POLICY, Pokes, Scene, refused
from lash_core.testing.conformance.observation.arrange import WatchedStores, rings_of, watched, words_after
from lash_core.testing.conformance.process_registry.arrange import completed, registration, unique
from lash_core.testing.conformance.session_scene import claimed, leased, put_in


async def an_input_is_queued_and_told(stores: WatchedStores) -> None:
    """Beside a turn that runs; who works queues off is poked."""
    scene, pokes = Scene(stores), Pokes()
    async with watched(scene, queued_work_driver=pokes) as (_, handle), handle.writer():
        begin = handle.observe().cursor
        batch = await handle.enqueue_turn_input(
            TurnInput.text("hi"), DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT, SlotPolicy.EXCLUSIVE, "key"
        )
        again = await handle.enqueue_turn_input(TurnInput.text("other"), source_key="key")
        (stored,) = await (await scene.store()).list_queued_work(scene.session_id)

        assert again == batch == stored
        assert (DeliveryPolicy.AFTER_CURRENT_TURN_COMMIT, SlotPolicy.EXCLUSIVE, "key") == (
            batch.delivery_policy,
            batch.slot_policy,
            batch.source_key,
        )
        assert [(scene.session_id, "queued_turn_input")] * 2 == pokes.told
        # Also to who asks the ring itself: it was told before the verb returned.
        assert 2 == (await rings_of(stores).current_cursor(scene.session_id, 0)).parse().live_position
        assert [f"enqueued {batch.batch_id}"] * 2 == await words_after(handle, begin)


async def what_is_refused_is_not_told(stores: WatchedStores) -> None:
    """A live input, and a session without a store."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        async with refused(InvalidArgumentError, "live"):
            await handle.enqueue_turn_input(TurnInput.text("hi").model_copy(update={"protocol_extension": object()}))
        assert [] == await words_after(handle, handle.observe().cursor)
    bare = Scene(stores)
    runtime = await LashRuntime.from_environment(bare.environment(), POLICY, RuntimeSessionState(bare.session_id))
    handle = await RuntimeHandle.create(runtime, rings_of(stores))
    caught: list[Any] = []
    async with refused(RuntimeFailure, "queued turn input requires a persistent runtime store") as found:
        await handle.enqueue_turn_input(TurnInput.text("hi"))
    caught += found
    async with refused(RuntimeFailure, "queued turn input requires a persistent runtime store") as found:
        await handle.cancel_queued_work_batch(bare.session_id, "qwb:x")
    caught += found

    assert ["store_commit_failed"] * 2 == [error.code for error in caught]
    assert [] == await words_after(handle, handle.observe().cursor)
    runtime.close()


async def a_cancel_is_told_when_there_was_something(stores: WatchedStores) -> None:
    """Not of what is unknown, cancelled or claimed. A store that refuses is a commit that failed."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        first = await handle.enqueue_turn_input(TurnInput.text("a"), slot_policy=SlotPolicy.EXCLUSIVE)
        second = await handle.enqueue_turn_input(TurnInput.text("b"))
        store = await scene.store()
        claim = await claimed(store, await leased(store))
        begin = (await handle.current_session_observation()).cursor

        assert await handle.cancel_queued_work_batch(scene.session_id, first.batch_id) is None
        assert second == await handle.cancel_queued_work_batch(scene.session_id, second.batch_id)
        assert await handle.cancel_queued_work_batch(scene.session_id, second.batch_id) is None
        async with refused(RuntimeFailure) as caught:
            await handle.cancel_queued_work_batch("another", first.batch_id)
        assert (first.batch_id,) == await handle.abandon_queued_work_claim(claim)
        assert () == await handle.abandon_queued_work_claim(claim)

        assert ["store_commit_failed"] == [getattr(error, "code", None) for error in caught]
        expected = [f"cancelled {second.batch_id}", f"enqueued {first.batch_id}"]
        assert expected == await words_after(handle, begin)


async def pending_inputs_are_cancelled_and_told(stores: WatchedStores) -> None:
    """Those that were cancelled now, by their ids."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        store = await scene.store()
        ids = [(await put_in(store, text)).input_id for text in "abcd"]
        begin = handle.observe().cursor
        one = await handle.cancel_pending_turn_input(TurnInputCancelTarget(input_id=ids[0]))
        several = await handle.cancel_pending_turn_inputs(
            [TurnInputCancelTarget(input_id=input_id) for input_id in ("never", ids[0], ids[1])]
        )
        suffix = await handle.cancel_pending_turn_input_suffix(TurnInputCancelTarget(input_id=ids[2]))

        assert "cancelled" == one.outcome
        assert ["not_found", "already_cancelled", "cancelled"] == [outcome.outcome for outcome in several]
        assert ["cancelled", "cancelled"] == [outcome.outcome for outcome in suffix.outcomes]
        expected = [f"cancelled {ids[0]}", f"cancelled {ids[1]}", f"cancelled {ids[2]},{ids[3]}"]
        assert expected == await words_after(handle, begin)


async def a_command_is_queued_and_its_run_published(stores: WatchedStores) -> None:
    """Without a store it is done and published at once."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        begin = handle.observe().cursor
        batch = await handle.submit_session_command(SessionCommandPayload(command="reset_session"), "k")
        assert batch is not None
        drained = await handle.drain_next_session_command()
        assert await handle.drain_next_session_command() is None
        heard = await words_after(handle, begin)

        assert drained == batch
        assert [f"enqueued {batch.batch_id}", "committed "] == [heard[0], heard[-1]]
        assert await scene.revision() == handle.observe().revision
    bare = Scene(stores)
    runtime = await LashRuntime.from_environment(bare.environment(), POLICY, RuntimeSessionState(bare.session_id))
    handle = await RuntimeHandle.create(runtime, rings_of(stores))
    begin = handle.observe().cursor
    assert await handle.submit_session_command(SessionCommandPayload(command="refresh_tool_catalog"), "k") is None
    assert ["committed "] == await words_after(handle, begin)
    runtime.close()


async def handles_of_session_and_frame_are_listed_once(stores: WatchedStores) -> None:
    """By process id; live ones, or all that are granted. As the session was published: no runtime is asked."""
    scene = Scene(stores)
    registry = stores.process_registry
    async with watched(scene, process_registry=registry) as (runtime, handle), handle.writer():
        frame = SessionScope(scene.session_id, runtime.state.current_agent_frame_id)
        root = SessionScope(scene.session_id)
        ids = sorted(unique("p") for _ in range(3))
        for process_id in (ids[0], ids[2]):
            await registry.register_process(registration(process_id))
        await completed(stores, registration(ids[1]))
        for scope, process_id in ((root, ids[2]), (root, ids[1]), (frame, ids[1]), (frame, ids[0])):
            await registry.grant_handle(scope, process_id, ProcessHandleDescriptor("job"))

        assert [ids[0], ids[2]] == [one["id"] for one in await handle.list_process_handles()]
        assert [ids[0], ids[2]] == [
            one["id"] for one in await handle.list_process_handles(cast("ProcessListMode", "live"))
        ]
        assert ids == [one["id"] for one in await handle.list_all_process_handles()]
        assert ids == [one["id"] for one in await handle.observe().list_process_handles(ProcessListMode.ALL)]


async def handles_that_cannot_be_listed_are_none(stores: WatchedStores) -> None:
    """Without a registry, and with one that fails."""
    scene = Scene(stores)
    async with watched(scene) as (_, handle):
        assert () == await handle.list_process_handles() == await handle.list_all_process_handles()

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise LookupError(name)

    async with watched(scene, process_registry=Broken()) as (_, handle):
        assert () == await handle.list_process_handles() == await handle.list_all_process_handles()
