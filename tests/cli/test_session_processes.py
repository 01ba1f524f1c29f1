"""``lash session processes``: what a session has to do with processes."""

from __future__ import annotations

from lash_core.client import LashClient
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.testing.conformance.process_registry.arrange import note, registration, scope
from tests.cli.conftest import Lash


async def two(client: LashClient) -> None:
    registry = client.stores.process_registry
    held = await registry.register_process(registration("held"))
    await registry.grant_handle(scope("chat"), held.id, ProcessHandleDescriptor())
    for n in range(3):
        await registry.append_event(held.id, note(f"note {n}"))
    await registry.register_process(registration("waking", wake_target=scope("chat")))


def test_processes_are_shown_with_the_ends_of_their_logs(lash: Lash) -> None:
    """For people a table, for programs the view; the newest so many."""
    lash.behind(two)

    seen = lash.ok("session", "processes", "chat", "--events", "2", "--json").json
    out = lash.ok("session", "processes", "chat", "--events", "2").out
    newest = lash.ok("session", "processes", "chat", "--limit", "1", "--live").out

    by_id = {item["process_id"]: item for item in seen["items"]}
    assert ({"held", "waking"}, 2) == (set(by_id), seen["total"])
    assert [2, 3] == [event["sequence"] for event in by_id["held"]["events"]]
    assert (1, False, True) == (by_id["held"]["events_before"], by_id["held"]["wakes"], by_id["waking"]["wakes"])
    for word in ("held", "wakes it", "(1 before)", "note 2"):
        assert word in out
    assert "1 older ones are not shown" in newest


def test_a_session_that_is_not_there_is_told(lash: Lash) -> None:
    """One without processes is another thing."""
    lash.ok("session", "send", "alone", "hello")

    assert "no processes" in lash.ok("session", "processes", "alone").out
    nobody = lash("session", "processes", "nobody", "--json")
    assert (3, "unknown_session") == (nobody.code, nobody.error["code"])
    assert 2 == lash("session", "processes", "alone", "--limit", "201").code
