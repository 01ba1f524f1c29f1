"""``SyncLashClient.session``: the same verbs, blocking."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

import lash_core
from lash_core.client import LashClient
from lash_core.client_session import SessionHandle
from lash_core.client_session_sync import SyncSessionHandle
from lash_core.client_sync import SyncLashClient
from lash_core.errors import UnknownSessionError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.testing.waiting import eventually
from tests.client.session_turns import answer_queue


def verbs(cls: type[object]) -> set[str]:
    return {name for name, _ in inspect.getmembers(cls) if not name.startswith("_")}


def test_no_verb_is_missing() -> None:
    """Nor an argument of one."""
    assert verbs(SessionHandle) - {"session_id"} == verbs(SyncSessionHandle) - {"session_id"}
    for name in verbs(SessionHandle) - {"session_id"}:
        one, other = (inspect.signature(getattr(cls, name)) for cls in (SessionHandle, SyncSessionHandle))
        assert list(one.parameters) == list(other.parameters), name
    assert (lash_core.SessionHandle, lash_core.SyncSessionHandle) == (SessionHandle, SyncSessionHandle)


def test_a_conversation_without_a_loop() -> None:
    """Send, wait, look, delete."""
    stores = InMemoryStores()

    async def connect() -> LashClient:
        return LashClient(stores)

    async def answered() -> None:
        async def waits() -> bool:
            return bool(await LashClient(stores).session("chat").queue())

        await eventually(waits)
        store = await stores.session_store_factory.open_existing_store("chat")
        assert store is not None
        await answer_queue(store)

    with SyncLashClient(connect) as lash:
        session = lash.session("chat")
        sent = session.send("hello")
        assert (sent.batch,) == session.queue()
        worker = threading.Thread(target=lambda: asyncio.run(answered()))
        worker.start()
        assert "hello back" == sent.answer(10).final_text
        worker.join()
        assert ["hello", "hello back"] == [message.text for message in session.history()]
        assert 1 == session.park(5).head_revision
        assert ("chat",) == tuple(item.session_id for item in lash.list_sessions()[0])
        session.delete()
        with pytest.raises(UnknownSessionError):
            session.get()
