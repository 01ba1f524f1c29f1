"""``lash session tasks``: the background tasks of a session, as they are stored."""

from __future__ import annotations

from lash_core.client import LashClient
from lash_core.model.background_task import (
    BackgroundTaskCompletion,
    BackgroundTaskKind,
    BackgroundTaskRegistration,
    BackgroundTaskState,
)
from lash_core.runtime.background.durable_host import DurableBackgroundTaskHost
from lash_core.runtime.background.scope_keys import background_scope_key
from tests.cli.conftest import Lash

SCOPE = background_scope_key("runtime-1", "chat")


async def three(client: LashClient) -> None:
    await client.session("chat").create()
    host = DurableBackgroundTaskHost(client.stores.background_tasks)
    await host.adopt(SCOPE, 7)
    for task_id in ("build", "import", "deploy"):
        spec = BackgroundTaskRegistration(task_id, BackgroundTaskKind.SUBAGENT, "shop", parent_task_id="root")
        await host.register_external(SCOPE, spec)
    await host.mark_live(SCOPE, "import", BackgroundTaskState.WAITING)
    await host.complete(SCOPE, "build", BackgroundTaskCompletion(BackgroundTaskState.FAILED, "it does not compile"))
    await host.close()


def test_tasks_are_shown_newest_first(lash: Lash) -> None:
    """For people a table, for programs the rows; the newest so many."""
    lash.behind(three)

    seen = lash.ok("session", "tasks", "chat", "--json").json
    out = lash.ok("session", "tasks", "chat").out
    live = lash.ok("session", "tasks", "chat", "--live", "--limit", "1").out

    assert ("chat", 3) == (seen["session_id"], seen["total"])
    assert ["deploy", "import", "build"] == [item["id"] for item in seen["items"]]
    assert ["running", "idle", "failed"] == [item["state"] for item in seen["items"]]
    failed = seen["items"][-1]
    assert ("subagent", "shop", "root", False) == tuple(
        failed[name] for name in ("kind", "producer", "parent_task_id", "managed")
    )
    assert ("runtime-1", 7, None) == (failed["owner"], failed["generation"], failed["moving_to"])
    assert ("it does not compile", None) == (failed["failure"]["summary"], failed["result"])
    assert failed["created_at_ms"] <= failed["completed_at_ms"] == failed["updated_at_ms"]
    for word in ("build", "shop", "subagent", "failed", "it does not compile", "idle", "elsewhere"):
        assert word in out
    assert "deploy" in live
    assert "import" not in live
    assert "1 older ones are not shown" in live


def test_a_session_that_is_not_there_is_told(lash: Lash) -> None:
    """One without tasks is another thing."""
    lash.ok("session", "send", "alone", "hello")

    assert "no background tasks" in lash.ok("session", "tasks", "alone").out
    assert {"session_id": "alone", "total": 0, "items": []} == lash.ok("session", "tasks", "alone", "--json").json
    nobody = lash("session", "tasks", "nobody", "--json")
    assert (3, "unknown_session") == (nobody.code, nobody.error["code"])
    assert 2 == lash("session", "tasks", "alone", "--limit", "0").code
