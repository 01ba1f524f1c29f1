"""Cancels: from inside, from any program, before and after the turn; always with evidence.

``docs/contracts/sessions.md`` 3.4.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

from lash_core.model.message import Message
from lash_core.model.turn_activity import TurnActivity
from lash_core.model.turn_control import TurnAddress, TurnCancelEvidence, TurnCancelRequest
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.plugin.hooks import BeforeTurn, PluginCheckpoint, PluginTurn
from lash_core.runtime.plugins import PluginLifecycleEvent, SessionPlugin
from lash_core.runtime.turns.cancel_gate import TurnCancelGate
from lash_core.testing.conformance.session_scene import SessionStores, enqueued
from lash_core.testing.conformance.turns.arrange import (
    Scene,
    adding,
    finished,
    mortal_scene,
    scene_of,
    stopped,
    texts_of,
    words,
)
from lash_core.testing.conformance.turns.crashes import Life, MortalStore, mortal_host, until_death
from lash_core.testing.scripted_provider import ScriptedReply, calls_tools, hangs, says
from lash_core.testing.waiting import eventually

TEARDOWN_SECONDS_MAX = 2.0


def _request(scene: Scene, request_id: str = "r1", turn_id: str = "turn-1") -> TurnCancelRequest:
    address = TurnAddress(scene.session_id, turn_id)
    return TurnCancelRequest(address=address, request_id=request_id, origin="operator", reason="enough")


async def a_token_cancels_the_turn(stores: SessionStores) -> None:
    """The provider's call is dropped; what it had streamed is in no history; the evidence is the turn's own."""
    scene, token = scene_of(stores, [hangs(after=["half an ans"])]), CancellationToken()

    async def cancel(activity: TurnActivity) -> None:
        if activity.event.type == "assistant_prose_delta":
            token.cancel("the user left")

    began = time.monotonic()
    runtime = await scene.runtime()
    turn = await runtime.stream_turn(words("hi"), turn_id="turn-1", cancellation=token, sender=cancel)

    stopped(turn, "cancelled")
    assert time.monotonic() - began < TEARDOWN_SECONDS_MAX
    assert TurnCancelEvidence("internal:turn-1", origin="internal", reason="the user left") == turn.cancellation
    assert ["user: hi"] == texts_of(await scene.history())
    assert "" == turn.assistant_output.raw_text
    assert (1, 1) == (scene.provider.dropped, await scene.revision())


async def a_token_that_was_fired_before_calls_no_model(stores: SessionStores) -> None:
    """The turn is committed as cancelled, its input stays in the history."""
    scene, token = scene_of(stores, [says("never")]), CancellationToken()
    token.cancel("changed my mind")
    turn = await (await scene.runtime()).stream_turn(words("hi"), cancellation=token)

    stopped(turn, "cancelled")
    assert [] == scene.provider.requests
    assert ["user: hi"] == texts_of(await scene.history())


async def a_request_from_another_program_cancels_the_turn(stores: SessionStores) -> None:
    """Within the teardown time; the first request's evidence stands, a second one hears of it."""
    scene = scene_of(stores, [hangs()])
    runtime, other = await scene.runtime(), await scene.runtime()
    turn = asyncio.ensure_future(runtime.stream_turn(words("hi"), turn_id="turn-1"))
    await eventually(lambda: bool(scene.provider.requests))
    began = time.monotonic()
    first = await other.request_turn_cancel(_request(scene))
    second = await other.request_turn_cancel(_request(scene, "r2"))
    cancelled = stopped(await turn, "cancelled")

    assert time.monotonic() - began < TEARDOWN_SECONDS_MAX
    evidence = TurnCancelEvidence("r1", origin="operator", reason="enough")
    assert ("requested", evidence) == (first.outcome, first.evidence)
    assert ("already_requested", evidence) == (second.outcome, second.evidence)
    assert evidence == cancelled.cancellation
    assert stores.process_registry.durability_tier().value == first.durability_tier


async def a_request_before_the_turn_calls_no_model(stores: SessionStores) -> None:
    """It waits in the gate; the turn's claims are settled all the same."""
    scene = scene_of(stores, [says("never")])
    store = await scene.store()
    batch = await enqueued(store, "hi")
    runtime = await scene.runtime(store)
    await runtime.request_turn_cancel(_request(scene, turn_id=f"t_{batch.batch_id}"))
    turn = stopped(await runtime.run_next_queued_turn(), "cancelled")

    assert "r1" == (turn.cancellation and turn.cancellation.request_id)
    assert [] == scene.provider.requests
    assert () == await store.list_queued_work(scene.session_id)
    assert ["user: hi"] == texts_of(await scene.history())


async def a_request_after_the_turn_is_too_late(stores: SessionStores) -> None:
    """Its completion was sealed."""
    scene = scene_of(stores, [says("done")])
    runtime = await scene.runtime()
    finished(await runtime.stream_turn(words("hi"), turn_id="turn-1"))

    assert "completion_won_race" == (await runtime.request_turn_cancel(_request(scene))).outcome


async def tools_hear_of_a_cancel(stores: SessionStores) -> None:
    """A running tool's token is fired; the turn is over although the tool takes its time."""
    scene, token = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("never")]), CancellationToken()
    heard: list[str | None] = []

    async def slow(context: Any, _args: object) -> None:
        token.cancel("stop")
        heard.append(await context.cancellation.wait())

    scene.bench.before = slow
    stopped(await (await scene.runtime()).stream_turn(words("add"), cancellation=token), "cancelled")

    assert 1 == len(heard)
    assert 1 == len(scene.provider.requests)


async def a_cancel_and_a_completion_have_one_winner(stores: SessionStores) -> None:
    """Whatever the receipt says is what the turn says."""
    for _ in range(5):
        gate = asyncio.Event()
        scene = scene_of(stores, [ScriptedReply(says("done").events, gate=gate)])
        runtime = await scene.runtime()
        turn = asyncio.ensure_future(runtime.stream_turn(words("hi"), turn_id="turn-1"))
        await eventually(lambda scene=scene: bool(scene.provider.requests))
        gate.set()
        receipt, ended = await asyncio.gather(runtime.request_turn_cancel(_request(scene)), turn)

        won = receipt.outcome == "requested"
        assert won == (ended.cancellation is not None), f"{receipt.outcome}: {ended.outcome!r}"
        assert ("stopped" if won else "finished") == ended.outcome.type


async def a_cancel_survives_its_turns_owner(stores: SessionStores) -> None:
    """The next owner replays what was recorded, and only then ends the turn as cancelled."""
    scene, life = await mortal_scene(stores, adding), Life()
    store: Any = MortalStore(await scene.store(), life)
    scene.effect_host = mortal_host(stores, life)
    runtime = await scene.runtime(store)

    async def die(_context: object, _args: object) -> None:
        # The attempt is recorded, the model call after it is not.
        life.dies_at = len(life.writes) + 1

    scene.bench.before = die
    await until_death(life, runtime.stream_turn(words("hi"), turn_id="turn-1"))
    runtime.close()
    scene.effect_host = None
    other = await scene.runtime()
    assert "requested" == (await other.request_turn_cancel(_request(scene))).outcome
    await scene.outlive_leases()
    calls = len(scene.provider.requests)
    turn = stopped(await other.stream_turn(words("hi"), turn_id="turn-1"), "cancelled")

    assert "r1" == (turn.cancellation and turn.cancellation.request_id)
    assert (calls, 1) == (len(scene.provider.requests), len(scene.bench.calls))
    assert 3 == len(await scene.history())


async def a_sealed_turn_is_not_cancelled_any_more(stores: SessionStores) -> None:
    """Its owner died between the seal and the commit: the redo completes, whoever asks."""
    scene, life = await mortal_scene(stores, adding), Life()
    store: Any = MortalStore(await scene.store(), life)
    scene.effect_host = mortal_host(stores, life)
    runtime = await scene.runtime(store)
    commit = store.commit_runtime_state

    async def die(*args: Any) -> Any:
        life.dies_at = len(life.writes)
        return await commit(*args)

    store.commit_runtime_state = die
    await until_death(life, runtime.stream_turn(words("hi"), turn_id="turn-1"))
    runtime.close()
    scene.effect_host = None
    other = await scene.runtime()
    assert "completion_won_race" == (await other.request_turn_cancel(_request(scene))).outcome
    await scene.outlive_leases()
    token = CancellationToken()
    token.cancel("too late")

    assert "it is 2" == finished(await other.stream_turn(words("hi"), turn_id="turn-1", cancellation=token))


async def the_end_of_a_turn_is_published(stores: SessionStores) -> None:
    """Whoever waits for it hears the outcome and the revision."""
    scene = scene_of(stores, [says("done")])
    runtime = await scene.runtime()
    host = runtime.host.core.control.effect_host
    gate = TurnCancelGate(host.await_events, TurnAddress(scene.session_id, "turn-1"))
    waiting = asyncio.ensure_future(gate.wait_terminal(timeout_ms=10_000))
    turn = await runtime.stream_turn(words("hi"), turn_id="turn-1")
    terminal = await waiting

    assert ("committed", 1) == (terminal.type, terminal.session_revision)
    assert turn.outcome.to_json_value() == terminal.outcome


async def a_sweep_of_waits_leaves_the_gate_alone(stores: SessionStores) -> None:
    """Waits of the session end, the turn goes on; deleting the session's promises revokes the gate."""
    scene = scene_of(stores, [says("done")])
    runtime = await scene.runtime()
    events = runtime.host.core.control.effect_host.await_events
    await runtime.request_turn_cancel(_request(scene, turn_id="other"))
    await events.cancel_session(scene.session_id)
    finished(await runtime.stream_turn(words("hi"), turn_id="turn-1"))
    assert "already_requested" == (await runtime.request_turn_cancel(_request(scene, turn_id="other"))).outcome
    await events.revoke_session(scene.session_id)

    assert "unknown_or_revoked" == (await runtime.request_turn_cancel(_request(scene))).outcome


class _Silent(SessionPlugin):
    """Its hook of one name never answers."""

    def __init__(self, hook: str, asked: asyncio.Event) -> None:
        self._hook = hook
        self._asked = asked

    async def _stand_still(self, hook: str) -> None:
        if hook == self._hook:
            self._asked.set()
            await asyncio.Event().wait()

    async def before_turn(self, turn: PluginTurn) -> BeforeTurn | None:
        del turn
        await self._stand_still("before_turn")
        return None

    async def checkpoint(self, checkpoint: PluginCheckpoint) -> Sequence[Message]:
        del checkpoint
        await self._stand_still("checkpoint")
        return ()

    def context_transform(self, messages: tuple[Message, ...]) -> Awaitable[tuple[Message, ...]] | None:
        async def same() -> tuple[Message, ...]:
            await self._stand_still("context_transform")
            return messages

        return same()

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        del facts
        await self._stand_still(event.value)


async def a_plugin_that_stands_still_holds_no_cancel_up(stores: SessionStores) -> None:
    """Wherever it is asked, before the turn too, and whoever cancels: the turn is down in time, its work is settled."""
    for hook in ("context_transform", "before_turn", "checkpoint"):
        for from_inside in (True, False):
            asked, token = asyncio.Event(), CancellationToken()
            scene = scene_of(stores, [says("an answer")], plugin=partial(_Silent, hook, asked))
            runtime, other = await scene.runtime(), await scene.runtime()
            turn = asyncio.ensure_future(runtime.stream_turn(words("hi"), turn_id="turn-1", cancellation=token))
            await asked.wait()
            began = time.monotonic()
            if from_inside:
                token.cancel("enough")
            else:
                await other.request_turn_cancel(_request(scene))
            ended = stopped(await turn, "cancelled")

            assert time.monotonic() - began < TEARDOWN_SECONDS_MAX, hook
            assert ended.cancellation is not None
            assert ("internal:turn-1" if from_inside else "r1") == ended.cancellation.request_id
            assert "user: hi" == texts_of(await scene.history())[0]
            assert len(scene.provider.requests) == (hook == "checkpoint")


async def a_plugin_that_stands_still_at_the_end_holds_no_cancel_up(stores: SessionStores) -> None:
    """It is told that the turn ended, and is not waited for."""
    for event in (PluginLifecycleEvent.TURN_FINALIZED, PluginLifecycleEvent.TURN_PERSISTED):
        asked, token = asyncio.Event(), CancellationToken()
        scene = scene_of(stores, [hangs()], plugin=partial(_Silent, event.value, asked))
        turn = asyncio.ensure_future((await scene.runtime()).stream_turn(words("hi"), cancellation=token))
        await eventually(lambda of=scene: bool(of.provider.requests))
        began = time.monotonic()
        token.cancel()
        stopped(await turn, "cancelled")

        assert asked.is_set()
        assert time.monotonic() - began < TEARDOWN_SECONDS_MAX, event
        assert 1 == await scene.revision()
