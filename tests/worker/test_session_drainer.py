"""Sessions on a worker: their queues are worked off, what it cannot run is left to others, a drain hands over."""

from __future__ import annotations

from lash_worker.testing import running_apps
from tests.worker.session_app import session_app, session_stores


async def test_an_input_is_answered() -> None:
    """By a worker in this program, within its own stores."""
    async with running_apps((session_app(),), session_stores()) as lash:
        sent = await lash.session("chat").send("hello")
        assert "you said: hello" == (await sent.answer(5)).final_text
        again = await lash.session("chat").send("and now?")
        assert "you said: and now?" == (await again.answer(5)).final_text
        assert 4 == len(await lash.session("chat").history())
        assert 2 == (await lash.session("chat").park(5)).head_revision
