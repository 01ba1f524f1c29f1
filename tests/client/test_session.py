"""``lash.session(id)``: inputs, answers, history, queue, the end of a session."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.client import LashClient
from lash_core.client_session import SessionHandle
from lash_core.errors import InvalidArgumentError, UnknownSessionError
from lash_core.errors.session import InputNotFoundError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.process_handle import ProcessHandleDescriptor
from lash_core.model.process_input import ProcessInput
from lash_core.model.queued_work import ClaimBoundary, TurnInputPayload
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import SessionScope
from lash_core.model.session_lease import SessionLeaseAcquired
from lash_core.model.turn_input import AttachmentInput, NextTurnIngress, PendingTurnInputDraft, TurnInput
from lash_core.model.turn_outcome import StoppedOutcome
from lash_core.store.runtime_persistence import RuntimePersistence
from tests.client.session_turns import OWNER, answer_queue


@pytest.fixture
def session(lash: LashClient) -> SessionHandle:
    return lash.session("chat-1")


async def store_of(session: SessionHandle) -> RuntimePersistence:
    return await session._store()


async def test_an_input_makes_the_session_and_waits_in_its_queue(session: SessionHandle) -> None:
    """Nobody has to create a session first."""
    assert not await session.exists()
    sent = await session.send("hello")

    assert await session.exists()
    assert (sent.batch,) == await session.queue()
    assert () == await session.history()
    facts = await session.get()
    assert ("chat-1", None, None) == (facts.meta.session_name, facts.read, facts.lease)


async def test_the_same_source_key_sends_once(session: SessionHandle) -> None:
    """Also after the answer: a late repeat finds the first input."""
    first = await session.send("hello", source_key="mail-7")
    again = await session.send("hello once more", source_key="mail-7")
    assert first.batch_id == again.batch_id
    await answer_queue(await store_of(session))

    late = await session.send("hello", source_key="mail-7")
    assert first.batch_id == late.batch_id
    assert () == await session.queue()
    assert "hello back" == (await late.answer(1)).final_text


async def test_inputs_of_one_handle_have_keys_of_their_own(session: SessionHandle) -> None:
    """Equal texts are two inputs."""
    one, two = await session.send("again"), await session.send("again")
    assert one.batch_id != two.batch_id


async def test_the_answer_comes_with_the_commit(session: SessionHandle) -> None:
    """Whoever waits hears of it; joined inputs share the turn."""
    first, second = await session.send("one"), await session.send("two")
    waits = [asyncio.create_task(first.answer(10)), asyncio.create_task(second.answer(10))]
    await asyncio.sleep(0)
    turn = await answer_queue(await store_of(session), "both")

    assert [turn, turn] == await asyncio.gather(*waits)
    assert ["one", "two", "both"] == [message.text for message in await session.history()]
    assert ["both"] == [message.text for message in await session.history(limit=1)]


async def test_a_stopped_turn_is_an_answer(session: SessionHandle) -> None:
    """The caller hears why."""
    sent = await session.send("hello")
    await answer_queue(await store_of(session), "", outcome=StoppedOutcome("provider_error"))

    assert StoppedOutcome("provider_error") == (await sent.answer(1)).outcome


@pytest.mark.parametrize("stamped", [True, False])
async def test_an_old_answer_is_read_from_the_history(session: SessionHandle, stamped: bool) -> None:
    """Results of turns are kept for a while, their stamps longer, histories for good."""
    sent = await session.send("hello")
    await answer_queue(await store_of(session), "long ago", stamped=stamped, result=False)

    assert "long ago" == (await sent.answer(1)).final_text


async def test_no_answer_yet_is_a_timeout(session: SessionHandle) -> None:
    """0 only looks."""
    sent = await session.send("hello")

    with pytest.raises(TimeoutError, match="has not answered"):
        await sent.answer(0)
    with pytest.raises(TimeoutError, match=r"after 0\.05 s"):
        await sent.answer(0.05)


async def test_an_input_that_nobody_took_can_be_taken_back(session: SessionHandle) -> None:
    """A waiter hears that there will be no answer."""
    sent = await session.send("hello")
    wait = asyncio.create_task(sent.answer(10))
    await asyncio.sleep(0)

    assert "cancelled" == (await session.cancel_input(sent.batch_id)).outcome
    with pytest.raises(InputNotFoundError):
        await wait
    assert "not_found" == (await session.cancel_input(sent.batch_id)).outcome
    assert () == await session.queue()


async def test_an_input_that_a_turn_took_cannot_be_taken_back(session: SessionHandle) -> None:
    """While the turn runs it is claimed; afterwards it is answered."""
    sent = await session.send("hello")
    store = await store_of(session)
    taken = await store.try_claim_session_execution_lease("chat-1", OWNER, 30_000)
    assert isinstance(taken, SessionLeaseAcquired)
    await store.claim_ready_queued_work(taken.lease.fence, ClaimBoundary.IDLE)
    assert "already_claimed" == (await session.cancel_input(sent.batch_id)).outcome
    await store.release_session_execution_lease(taken.lease.completion)

    await answer_queue(store)
    assert "already_completed" == (await session.cancel_input(sent.batch_id)).outcome


async def test_pending_turn_inputs_can_be_taken_back_too(session: SessionHandle) -> None:
    """By their own ids."""
    await session.create()
    store = await store_of(session)
    row = await store.enqueue_pending_turn_input(
        PendingTurnInputDraft(session_id="chat-1", input=TurnInput.text("later"), ingress=NextTurnIngress())
    )

    assert "cancelled" == (await session.cancel_input(row.input_id)).outcome
    assert "already_cancelled" == (await session.cancel_input(row.input_id)).outcome


async def test_park_waits_until_the_session_is_in_nobodys_memory(session: SessionHandle) -> None:
    """Work that waits is worked off first."""
    await session.send("hello")
    with pytest.raises(TimeoutError, match="still runs a turn, or has inputs waiting,"):
        await session.park(0)
    wait = asyncio.create_task(session.park(10))
    await answer_queue(await store_of(session))

    assert (1, 0) == ((await wait).head_revision, (await session.park(0)).queued)


async def test_attachments_go_with_an_input(session: SessionHandle) -> None:
    """Bytes are stored first, the input names them."""
    reference = await session.attach(b"a picture", media_type="image/png", name="a.png")
    sent = await session.send("look", attachments=[reference])

    [payload] = sent.batch.payloads
    assert isinstance(payload, TurnInputPayload)
    assert AttachmentInput(reference.to_json_value()) in payload.input.items


@pytest.mark.parametrize("content", ["", "  \n", TurnInput()])
async def test_an_empty_input_is_refused(session: SessionHandle, content: str | TurnInput) -> None:
    """Nothing is made for it."""
    with pytest.raises(InvalidArgumentError, match="needs text or an attachment"):
        await session.send(content)
    assert not await session.exists()


async def test_an_unknown_session_says_so(session: SessionHandle) -> None:
    """Every read, and the delete of what never was."""
    for call in (
        session.get(),
        session.queue(),
        session.history(),
        session.park(0),
        session.answer("b"),
        session.delete(),
    ):
        with pytest.raises(UnknownSessionError):
            await call


async def test_a_deleted_session_begins_anew(session: SessionHandle) -> None:
    """A handle that knew it makes another one with its next input; who waited is told."""
    sent = await session.send("hello")
    await answer_queue(await store_of(session))
    later = await session.send("are you there?")
    wait = asyncio.create_task(later.answer(10))
    await asyncio.sleep(0)
    await session.delete()

    with pytest.raises(UnknownSessionError):
        await wait
    assert not await session.exists()
    await session.send("hello again")
    assert 1 == len(await session.queue())
    with pytest.raises(InputNotFoundError):
        await sent.answer(0)


async def test_a_delete_names_the_processes_that_go_on(lash: LashClient, session: SessionHandle) -> None:
    """Those nobody else has a handle on, and those that others have."""
    await session.create()
    registry = lash.stores.process_registry
    ours, theirs = SessionScope(session_id="chat-1"), SessionScope(session_id="chat-2")
    for process_id, scopes in (("alone", [ours]), ("shared", [ours, theirs])):
        await registry.register_process(
            ProcessRegistration(
                id=process_id, input=ProcessInput.external(), disposition=RecoveryDisposition.EXTERNALLY_OWNED
            )
        )
        for scope in scopes:
            await registry.grant_handle(scope, process_id, ProcessHandleDescriptor())

    report = await session.delete()
    assert (("alone",), ("shared",)) == (report.orphaned_process_ids, report.preserved_process_ids)
    assert "running" == await lash.handle("alone").status()


async def test_sessions_are_listed(lash: LashClient) -> None:
    """In pages."""
    for name in ("a", "b", "c"):
        await lash.session(name).send("hello")
    first, cursor = await lash.list_sessions(limit=2)
    rest, end = await lash.list_sessions(limit=2, cursor=cursor)
    while end is not None:
        more, end = await lash.list_sessions(limit=2, cursor=end)
        rest += more

    assert {"a", "b", "c"} == {item.session_id for item in (*first, *rest)}
    assert {1} == {item.queued for item in (*first, *rest)}
