"""Monitors of sessions in the fleet: processes of their own, heard in turns (docs/contracts/background_tasks.md 6)."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from typing import Any

import pytest

from lash_core.client import LashClient
from lash_core.errors import ProcessAbandoned, ProcessCancelled, ProcessFailed, SettingsError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.monitor import MonitorArm, MonitorSpec, MonitorWakePolicy
from lash_core.model.scope import SessionScope
from lash_core.runtime.background import monitor_run
from lash_core.testing.scripted_provider import ScriptedProvider
from lash_core.testing.waiting import eventually
from lash_worker.app import App
from lash_worker.app_sessions import sessions_of
from lash_worker.monitor_engine import MONITOR_KIND, monitor_process_id, start_monitor, start_session_monitors
from lash_worker.testing import running_apps
from tests.runtime.background_handles.monitor_kit import alive
from tests.worker.session_app import POLICY, echo

START = MonitorArm.SESSION_START


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_run, "BATCH_WINDOW_SECONDS", 0.001)
    monkeypatch.setattr(monitor_run, "BATCH_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(monitor_run, "DELIVERY_PAUSE_SECONDS", 0.001)


def watched_app(*specs: MonitorSpec, name: str = "agents", monitors: Any = None) -> App:
    app = App(name, version="1")
    app.sessions(policy=POLICY, providers=[ScriptedProvider(echo)], monitors=specs if monitors is None else monitors)
    return app


async def test_a_session_start_starts_its_monitor_once_and_lines_become_turns() -> None:
    app = watched_app(
        MonitorSpec("watch", "echo something happened; sleep 600", arm_on=START), MonitorSpec("other", "exit 1")
    )
    async with running_apps((app,), InMemoryStores()) as lash:
        session = lash.session("chat")
        await (await session.send("hello")).answer(5)

        await eventually(lambda: heard(lash, "something happened"))
        handle = lash.handle(monitor_process_id("chat", "watch"))
        await (await session.send("more")).answer(5)
        listed = [(row.id, row.identity.label) for row in (await lash.list(kind=MONITOR_KIND)).items]
        assert [(handle.id, "watch")] == listed
        assert 1 == sum(
            "something happened" in message.text and message.role == "user" for message in await session.history()
        )
        await handle.cancel("enough")
        with pytest.raises(ProcessCancelled):
            await handle.result(5)


async def test_the_outcome_says_how_the_command_ended() -> None:
    app = watched_app(
        MonitorSpec("good", "echo one", wake_policy=MonitorWakePolicy.NOTIFY),
        MonitorSpec("bad", "echo why >&2; exit 3"),
    )
    async with running_apps((app,), InMemoryStores()) as lash:
        await (await lash.session("chat").send("hello")).answer(5)

        async def result(monitor_id: str, session_id: str = "chat") -> Any:
            params = {"session_id": session_id, "monitor_id": monitor_id}
            return await (await lash.enqueue(MONITOR_KIND, params)).result(5)

        good = await result("good")
        assert ("exited", 0, 1) == (good["state"], good["exit_code"], good["lines"])
        with pytest.raises(ProcessFailed) as failed:
            await result("bad")
        assert ("monitor_failed", "exited with code 3: why") == (failed.value.code, failed.value.message)
        with pytest.raises(ProcessFailed) as failed:
            await result("nobody")
        assert "monitor_unknown" == failed.value.code
        with pytest.raises(ProcessFailed) as failed:
            await result("good", "no-session")
        assert "unknown_session" == failed.value.code


async def test_a_monitor_of_a_session_that_was_deleted_ends_when_it_speaks() -> None:
    app = watched_app(MonitorSpec("m", "while sleep 0.01; do echo tick; done"))
    async with running_apps((app,), InMemoryStores()) as lash:
        await (await lash.session("chat").send("hello")).answer(5)
        handle = await lash.enqueue(MONITOR_KIND, {"session_id": "chat", "monitor_id": "m"})
        await eventually(lambda: heard(lash, "tick"))
        await lash.session("chat").delete()
        with pytest.raises(ProcessFailed, match="chat"):
            await handle.result(5)


async def heard(lash: LashClient, text: str) -> bool:
    """True once a message of the session has the text."""
    return any(text in message.text for message in await lash.session("chat").history())


async def test_a_start_is_made_once_and_says_what_a_dead_worker_means() -> None:
    registry = InMemoryStores().process_registry
    once, again = MonitorSpec("a", "true"), MonitorSpec("b", "true", arm_on=START, restart_on_restore=True)
    first = await start_monitor(registry, once, "s")
    assert first == await start_monitor(registry, once, "s")
    await start_session_monitors(registry, lambda session_id: [once, again], "s")
    handles = await registry.list_handles(SessionScope("s"))
    found = {grant.descriptor.label: record.disposition for grant, record in handles}
    assert {"a": RecoveryDisposition.OWNER_BOUND, "b": RecoveryDisposition.RERUNNABLE} == found


def test_monitors_of_several_apps_are_one_configuration() -> None:
    one, two = MonitorSpec("one", "true"), MonitorSpec("two", "true")
    with pytest.raises(SettingsError, match="monitor `one` is configured twice"):
        watched_app(one, one)
    declared = sessions_of([watched_app(one), watched_app(two, name="more")])
    assert declared is not None
    assert (one, two) == declared.monitors
    with pytest.raises(SettingsError, match="configured twice"):
        sessions_of([watched_app(one), watched_app(one, name="more")])

    def of_session(session_id: str) -> list[MonitorSpec]:
        return [two] if session_id == "s" else []

    declared = sessions_of([watched_app(one), watched_app(name="more", monitors=of_session)])
    assert declared is not None
    assert callable(declared.monitors)
    assert ((one, two), (one,)) == (tuple(declared.monitors("s")), tuple(declared.monitors("other")))


@pytest.mark.parametrize("restart", [True, False])
async def test_a_worker_that_stops_takes_its_commands_along_and_a_peer_may_go_on(*, restart: bool) -> None:
    app = watched_app(MonitorSpec("m", "echo pid=$$; sleep 600", arm_on=START, restart_on_restore=restart))
    stores = InMemoryStores()

    async def pids(lash: LashClient) -> list[int]:
        texts = [message.text for message in await lash.session("chat").history() if message.role == "user"]
        return [int(found) for text in texts for found in re.findall(r"pid=(\d+)", text)]

    async with running_apps((app,), stores) as lash:
        await (await lash.session("chat").send("hello")).answer(5)
        await eventually(lambda: _holds(pids(lash), 1))
    [pid] = await pids(LashClient(stores))
    await eventually(lambda: not alive(pid))
    async with running_apps((app,), stores) as lash:
        await (await lash.session("chat").send("more")).answer(5)
        if restart:
            await eventually(lambda: _holds(pids(lash), 2))
        else:
            with pytest.raises(ProcessAbandoned):
                await lash.handle(monitor_process_id("chat", "m")).result(5)
    assert not any(map(alive, await pids(LashClient(stores))))


async def _holds(found: Awaitable[list[int]], count: int) -> bool:
    return len(await found) >= count


async def test_a_monitor_makes_no_session_of_its_own_nor_one_anew() -> None:
    app = watched_app(
        MonitorSpec("m", "sleep 600", arm_on=START, restart_on_restore=True), MonitorSpec("once", "echo one")
    )
    stores = InMemoryStores()

    async def sessions(lash: LashClient) -> list[str]:
        return sorted(summary.session_id for summary in (await lash.list_sessions())[0])

    async with running_apps((app,), stores) as lash:
        await (await lash.session("chat").send("hello")).answer(5)
        await (await lash.enqueue(MONITOR_KIND, {"session_id": "chat", "monitor_id": "once"})).result(5)
        assert ["chat"] == await sessions(lash)
    await LashClient(stores).session("chat").delete()
    # Its monitor was given back by the worker that stopped; who takes it finds nobody to tell.
    async with running_apps((app,), stores) as lash:
        with pytest.raises(ProcessFailed) as failed:
            await lash.handle(monitor_process_id("chat", "m")).result(5)
        assert "unknown_session" == failed.value.code
        assert [] == await sessions(lash)
