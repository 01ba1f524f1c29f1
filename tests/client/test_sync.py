"""The client for code without a loop."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator

import pytest

from lash_core.client import LashClient
from lash_core.client_sync import SyncLashClient
from lash_core.errors import LashError, ProcessCancelled, StoreClosedError, UnknownKindError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_event import Accepted, WaitIdentity
from lash_core.model.execution_scope import ExecutionScope
from lash_core.runtime.stored_await_events import StoredAwaitEvents
from tests.client.app_stub import REPORT, StubApp


@pytest.fixture
def lash() -> Iterator[SyncLashClient]:
    async def connect() -> LashClient:
        return LashClient(InMemoryStores(), app=StubApp(REPORT))

    with SyncLashClient(connect) as client:
        yield client


def test_the_verbs_block_and_answer(lash: SyncLashClient) -> None:
    """The same names, without await."""
    handle = lash.enqueue("report.build", {"month": "2026-10"}, process_id="p")

    assert (True, "p", "running") == (handle.created, handle.process_id, handle.status())
    assert "recorded" == handle.signal("stop").status
    assert "no_worker" == handle.why().reason
    with pytest.raises(TimeoutError):
        handle.result(timeout=0.01)
    assert "cancelled" == handle.cancel("enough").outcome
    with pytest.raises(ProcessCancelled):
        handle.result()
    assert [1, 2, 3] == [event.sequence for event in handle.events(follow=True)]
    assert ["p"] == [record.id for record in lash.list().items]
    assert 1 == lash.count(status="cancelled")
    assert "p.retry-1" == lash.retry("p").process_id
    scope, wait = ExecutionScope.process("p.retry-1"), WaitIdentity.custom("approval")
    token = StoredAwaitEvents(lash._client.stores.promises).mint(scope, wait).to_token()
    assert Accepted() == lash.resolve(token, 1)
    assert ["created"] == [item.status for item in lash.enqueue_many("report.build", [{"month": "x"}])]
    assert lash.get("nobody") is None


def test_errors_arrive_as_they_are(lash: SyncLashClient) -> None:
    """What the loop raised is raised here."""
    with pytest.raises(UnknownKindError):
        lash.enqueue("nobody.knows")


def test_a_generator_that_is_dropped_leaves_nothing_behind(lash: SyncLashClient) -> None:
    """A reader may stop in the middle."""
    handle = lash.enqueue("report.build", {"month": "2026-10"})
    handle.signal("stop")
    events = handle.events(follow=True)

    assert 1 == next(events).sequence
    events.close()


def test_several_threads_may_call(lash: SyncLashClient) -> None:
    """One client serves them all."""
    threads = [threading.Thread(target=lambda: lash.enqueue("report.build", {"month": "2026-10"})) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert 8 == lash.count()


def test_a_failed_connect_leaves_no_thread() -> None:
    """The error is the answer, and nothing else stays."""

    async def connect() -> LashClient:
        raise ConnectionRefusedError("nobody there")

    before = threading.active_count()
    with pytest.raises(ConnectionRefusedError):
        SyncLashClient(connect)

    assert before == threading.active_count()


def test_closing_twice_is_harmless() -> None:
    """The thread ends with the client."""

    async def connect() -> LashClient:
        return LashClient(InMemoryStores())

    client = SyncLashClient(connect)
    client.close()
    client.close()


def test_a_close_ends_the_calls_of_other_threads(lash: SyncLashClient) -> None:
    """Those that wait too: nobody waits for a loop that stands still."""
    handle = lash.enqueue("report.build", {"month": "2026-10"}, process_id="p")
    session = lash.session("chat")
    session.create()
    watching = session.watch()
    next(watching)
    calls: list[Callable[[], object]] = [
        handle.result,
        session.send("hello").answer,
        lambda: list(handle.events(follow=True)),
        lambda: list(watching),
    ]
    begun, ends = threading.Barrier(len(calls) + 1), list[Exception]()

    def call(work: Callable[[], object]) -> None:
        begun.wait()
        try:
            work()
        except LashError as error:
            ends.append(error)

    threads = [threading.Thread(target=call, args=[work], daemon=True) for work in calls]
    for thread in threads:
        thread.start()
    begun.wait()

    lash.close()

    for thread in threads:
        thread.join(10)
    assert [] == [thread for thread in threads if thread.is_alive()]
    assert len(calls) == len(ends)


def test_a_closed_client_says_so(lash: SyncLashClient) -> None:
    """At once, also where it was being iterated over; that ends with it."""
    lash.session("chat").create()
    watching = lash.session("chat").watch()
    next(watching)
    loop = lash._thread

    lash.close()

    with pytest.raises(StoreClosedError, match="closed by this process"):
        lash.get("p")
    with pytest.raises(StoreClosedError):
        next(watching)
    watching.close()
    assert {} == loop._open


def test_an_iteration_that_is_garbage_in_the_loop_is_closed_there(lash: SyncLashClient) -> None:
    """The loop cannot wait for itself."""
    loop, ended = lash._thread, threading.Event()

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            ended.set()

    kept = [loop.iterate(numbers())]
    assert 1 == next(kept[0])

    async def drop() -> None:
        kept.clear()

    loop.call(drop())

    assert ended.wait(10)
