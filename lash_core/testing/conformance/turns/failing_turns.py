"""What goes wrong around a turn: the lease, the store, code of plugins; each is an error of its own.

``docs/contracts/sessions.md`` 3.5.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from lash_core.errors import LashError, LimitExceededError, OutcomeUnknownError, RuntimeFailure, StoreRefusedError
from lash_core.errors.session import UnsettledQueuedWorkClaimError, UnsettledTurnInputClaimError
from lash_core.model.effect_record import EffectRecord
from lash_core.model.queued_work import ClaimBoundary
from lash_core.model.session import ModelSpec
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.runtime.journal.effects import JournaledEffectHost
from lash_core.runtime.plugins import PluginLifecycleEvent, SessionPlugin
from lash_core.runtime.session.lease_guard import SessionBusyError, SessionLeaseGuard, SessionLeaseLostError
from lash_core.runtime.turns.turn_claims import TurnClaims
from lash_core.runtime.turns.turn_commit import StoreCommitFailedError
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.session_scene import (
    SessionStores,
    commit_of,
    enqueued,
    leased,
    opened,
    put_in,
)
from lash_core.testing.conformance.turns.arrange import finished, scene_of, stopped, texts_of, words
from lash_core.testing.conformance.turns.crashes import MortalStore
from lash_core.testing.scripted_provider import ScriptedProvider, ScriptedReply, calls_tools, says
from lash_core.testing.waiting import eventually


class _FailingStore(MortalStore):
    """A store whose named verb fails so often with these errors, one a call."""

    def __init__(self, store: Any, verb: str, *errors: Exception, written: bool = False) -> None:
        self._inner = store
        self._verb = verb
        self.errors = list(errors)
        self._written = written

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._verb:
            return found

        async def call(*args: Any, **kwargs: Any) -> Any:
            if self.errors:
                if self._written:
                    await found(*args, **kwargs)
                raise self.errors.pop(0)
            return await found(*args, **kwargs)

        return call


async def a_refused_commit_changes_nothing(stores: SessionStores) -> None:
    """``store_commit_failed``; the next turn of the caller reads the session and goes on without the first."""
    scene = scene_of(stores, [says("one"), says("two")])
    store: Any = _FailingStore(await scene.store(), "commit_runtime_state", StoreRefusedError("no room"))
    runtime = await scene.runtime(store)
    with refused(StoreCommitFailedError, "store_commit_failed", "no room"):
        await runtime.stream_turn(words("1"))
    assert (0, 0) == (await scene.revision(), len(runtime.read_view().messages))
    assert await store.get_session_execution_lease(scene.session_id) is None

    assert "two" == finished(await runtime.stream_turn(words("2")))
    assert ["user: 2", "assistant: two"] == texts_of(await scene.history())


async def a_refused_commit_of_a_drain_is_made_again(stores: SessionStores) -> None:
    """Its input is still in the queue; the same turn is redone without calling the model."""
    scene = scene_of(stores, [says("one")])
    store: Any = _FailingStore(await scene.store(), "commit_runtime_state", StoreRefusedError("no room"))
    await enqueued(store, "1")
    runtime = await scene.runtime(store)
    with refused(StoreCommitFailedError):
        await runtime.run_next_queued_turn()

    assert "one" == finished(await runtime.run_next_queued_turn())
    assert 1 == len(scene.provider.requests)
    assert () == await store.list_queued_work(scene.session_id)


async def a_commit_whose_reply_was_lost_is_repeated(stores: SessionStores) -> None:
    """The stamp answers what the first one made."""
    scene = scene_of(stores, [says("one")])
    lost = OutcomeUnknownError("the reply was lost")
    store: Any = _FailingStore(await scene.store(), "commit_runtime_state", lost, written=True)
    turn = await (await scene.runtime(store)).stream_turn(words("1"))

    assert ("one", 1) == (finished(turn), turn.session_revision)
    assert 1 == await scene.revision()


async def a_lost_lease_is_no_cancel(stores: SessionStores) -> None:
    """Somebody took the session: the turn ends with its own error, commits nothing, and the other one redoes it."""
    gate = asyncio.Event()
    scene = scene_of(stores, [ScriptedReply(says("mine").events, gate=gate), says("theirs")])
    store = await scene.store()
    await enqueued(store, "hi")
    runtime = await scene.runtime(store)
    turn = asyncio.ensure_future(runtime.run_next_queued_turn())
    await eventually(lambda: bool(scene.provider.requests))
    lease = await store.get_session_execution_lease(scene.session_id)
    assert lease is not None
    await store.release_session_execution_lease(lease.completion)
    other = await leased(store)
    gate.set()
    with refused(SessionLeaseLostError, "session_execution_lease_lost"):
        await turn
    assert 0 == await scene.revision()

    assert "theirs" == finished(await (await scene.runtime()).run_next_queued_turn(lease=other))
    assert 1 == await scene.revision()


class _Faint(SessionPlugin):
    """Stops believing in the lease when the turn's end is settled."""

    def __init__(self, guards: list[SessionLeaseGuard]) -> None:
        self._guards = guards

    async def on_event(self, event: PluginLifecycleEvent, facts: dict[str, Any]) -> None:
        del facts
        if event is PluginLifecycleEvent.TURN_FINALIZED:
            for guard in self._guards:
                guard.lose("renewals failed")


async def a_settled_turn_is_committed_if_the_store_takes_it(stores: SessionStores) -> None:
    """A renewal that failed after the end was settled changes nothing: the store says whether the lease is live."""
    guards: list[SessionLeaseGuard] = []
    scene = scene_of(stores, [says("done")], plugin=lambda: _Faint(guards))
    store = await scene.store()
    runtime = await scene.runtime(store)
    guards.append(await SessionLeaseGuard.acquire(store, runtime.runtime_lease_owner))

    assert "done" == finished(await runtime.stream_turn(words("hi"), lease=guards[0]))
    assert guards[0].is_lost
    assert 1 == await scene.revision()


async def two_writers_take_turns(stores: SessionStores) -> None:
    """While one runs, the other is refused or does nothing; in one runtime as well."""
    gate = asyncio.Event()
    scene = scene_of(stores, [ScriptedReply(says("one").events, gate=gate), says("two")])
    runtime, other = await scene.runtime(), await scene.runtime()
    turn = asyncio.ensure_future(runtime.stream_turn(words("1")))
    await eventually(lambda: bool(scene.provider.requests))
    for second in (runtime, other):
        with refused(SessionBusyError, "session_execution_busy"):
            await second.stream_turn(words("2"))
        assert await second.run_next_queued_turn() is None
    gate.set()
    finished(await turn)

    assert "two" == finished(await other.stream_turn(words("2")))


class _Broken(ScriptedProvider):
    """A provider whose check of a model raises."""

    def check_model(self, model: ModelSpec) -> str | None:
        raise LookupError(model.id)


async def broken_code_is_committed_as_stopped(stores: SessionStores) -> None:
    """The input is settled: it would break every worker in turn."""
    scene = scene_of(stores, [])
    scene.provider = _Broken([says("never")])
    store = await scene.store()
    await enqueued(store, "hi")
    turn = stopped(await (await scene.runtime(store)).run_next_queued_turn(), "runtime_error")

    assert ["runtime"] == [issue.kind for issue in turn.errors]
    assert () == await store.list_queued_work(scene.session_id)


class _AnotherJournal(MortalStore):
    """A store where each recorded effect stands for another request, as by a program that asks something else."""

    def __init__(self, store: Any) -> None:
        self._inner = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def load_turn_effects(self, session_id: str, turn_id: str) -> tuple[EffectRecord, ...]:
        found: tuple[EffectRecord, ...] = await self._inner.load_turn_effects(session_id, turn_id)
        return tuple(replace(entry, envelope_hash="0" * 32) for entry in found)


async def another_request_under_a_recorded_key_stops_the_turn(stores: SessionStores) -> None:
    """A redo that asks the model something else is not the same turn."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("done")])
    store: Any = _FailingStore(await scene.store(), "commit_runtime_state", StoreRefusedError("no room"))
    await enqueued(store, "hi")
    runtime = await scene.runtime(store)
    with refused(StoreCommitFailedError):
        await runtime.run_next_queued_turn()
    other: Any = _AnotherJournal(await scene.store())
    turn = stopped(await (await scene.runtime(other)).run_next_queued_turn(), "runtime_error")

    assert "effect_replay_hash_conflict" in str(turn.errors[0].code)
    assert () == await store.list_queued_work(scene.session_id)


async def a_host_that_records_nothing_stores_progress(stores: SessionStores) -> None:
    """Before the model is asked the input is stored; the last commit brings the rest."""
    scene = scene_of(stores, [says("done")], effect_host=InlineEffectHost())
    runtime = await scene.runtime()
    finished(await runtime.stream_turn(words("hi")))

    assert 2 == await scene.revision()
    assert ["user: hi", "assistant: done"] == texts_of(await scene.history())
    assert ["user: hi", "assistant: done"] == texts_of(runtime.read_view().messages)


async def a_beginning_that_is_not_stored_calls_no_model(stores: SessionStores) -> None:
    """The store's failure is the caller's error; nothing is taken, and the next try answers the input once."""
    scene = scene_of(stores, [says("done")], effect_host=InlineEffectHost())
    await enqueued(await scene.store(), "hi")
    store: Any = _FailingStore(await scene.store(), "commit_runtime_state", StoreRefusedError("no room"))
    runtime = await scene.runtime(store)

    with refused(StoreCommitFailedError, "store_commit_failed", "no room"):
        await runtime.run_next_queued_turn()
    assert ([], 0) == (scene.provider.requests, await scene.revision())
    assert "done" == finished(await runtime.run_next_queued_turn())
    assert ["user: hi", "assistant: done"] == texts_of(await scene.history())


async def a_gate_that_cannot_be_read_stops_the_start(stores: SessionStores) -> None:
    """Three tries, then the turn fails to start: the model is not called, the input stays."""
    scene = scene_of(stores, [says("later")])
    store = await scene.store()
    await enqueued(store, "hi")
    errors = [StoreRefusedError("no answer") for _ in range(3)]
    promises: Any = _FailingStore(stores.promises, "peek_promise", *errors)  # type: ignore[attr-defined]
    scene.effect_host = JournaledEffectHost(stores.effect_journal, promises)  # type: ignore[attr-defined]
    runtime = await scene.runtime(store)
    with refused(RuntimeFailure, "turn_cancel_gate_unavailable"):
        await runtime.run_next_queued_turn()

    assert (0, 0) == (len(promises.errors), len(scene.provider.requests))
    assert 1 == len(await store.list_pending_queued_work(scene.session_id))
    assert "later" == finished(await runtime.run_next_queued_turn())


async def a_commit_that_forgets_a_claim_is_refused(stores: SessionStores) -> None:
    """Content of a claim that is not settled would be answered twice: it does not reach the store."""
    store = await opened(stores)
    await enqueued(store, "queue")
    await put_in(store, "lane")
    lease = await leased(store)
    claims = TurnClaims()
    claims.take_queue(await store.claim_ready_queued_work(lease, ClaimBoundary.IDLE))
    claims.take_inputs(await store.claim_next_turn_inputs(lease))
    whole = claims.settle_in(commit_of(store, lease))
    claims.require_settled(whole)

    for error, name in (
        (UnsettledQueuedWorkClaimError, "completed_queue_claims"),
        (UnsettledTurnInputClaimError, "completed_turn_input_claims"),
    ):
        with refused(error):
            claims.require_settled(whole.model_copy(update={name: ()}))


async def a_turn_that_no_store_takes_is_committed_as_stopped(stores: SessionStores) -> None:
    """It is over a limit: the input is settled and stays in the history, nothing is redone."""
    scene = scene_of(stores, [calls_tools(("add", {"a": 1, "b": 2})), says("never stored")])
    too_large = LimitExceededError("a node has 2000000 bytes; the limit is 1048576", field="nodes")
    store: Any = _FailingStore(await scene.store(), "commit_runtime_state", too_large)
    await enqueued(store, "hi")
    runtime = await scene.runtime(store)
    turn = stopped(await runtime.run_next_queued_turn(), "runtime_error")

    assert ["turn_too_large"] == [issue.code for issue in turn.errors]
    assert ["user: hi"] == texts_of(await scene.history()) == texts_of(turn.messages)
    assert () == await store.list_queued_work(scene.session_id)
    assert turn.usage == runtime.state.token_usage
    assert await runtime.run_next_queued_turn() is None


async def an_input_over_the_limit_is_refused_before_the_turn(stores: SessionStores) -> None:
    """Nothing is stored, and the next input is answered."""
    scene = scene_of(stores, [says("fine")])
    runtime = await scene.runtime()
    with refused(LashError, "limit"):
        await runtime.stream_turn(words("x" * 300_000))
    assert 0 == await scene.revision()

    large = "y" * 200_000
    assert "fine" == finished(await runtime.stream_turn(words(large)))
    assert large == (await scene.history())[0].text
