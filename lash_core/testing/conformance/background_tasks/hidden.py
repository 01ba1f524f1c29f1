"""Hidden tasks: started at once, awaited at barriers (``docs/contracts/background_tasks.md`` 3)."""

from __future__ import annotations

import asyncio
import inspect

from lash_core.errors import PluginSessionError
from lash_core.errors.background_task import BackgroundTaskError
from lash_core.testing.conformance.background_tasks.arrange import Hosted, Work, on_each_host
from lash_core.testing.conformance.expectations import refused


@on_each_host
async def a_hidden_task_starts_at_once_and_is_not_listed(on: Hosted) -> None:
    """Nobody needs to wait for it to run, and no list shows it."""
    work = Work()
    await on.host.spawn_hidden(on.scope_key, "index", work)
    await asyncio.wait_for(work.begun.wait(), 15)
    assert () == await on.host.list_managed(on.scope_key)
    assert () == await on.rows()
    work.end.set()
    await on.host.await_hidden(on.scope_key)


@on_each_host
async def the_barrier_waits_for_what_hidden_tasks_spawn(on: Hosted) -> None:
    """It looks again until none is left."""
    ended: list[str] = []
    scope_key, host = on.scope_key, on.host

    async def grandchild() -> None:
        await asyncio.sleep(0)
        ended.append("grandchild")

    async def child() -> None:
        await asyncio.sleep(0)
        await host.spawn_hidden(scope_key, "grandchild", grandchild)
        ended.append("child")

    async def parent() -> None:
        await host.spawn_hidden(scope_key, "child", child)
        ended.append("parent")

    await host.spawn_hidden(scope_key, "parent", parent)
    await host.await_hidden(scope_key)
    assert ["parent", "child", "grandchild"] == ended


@on_each_host
async def the_barrier_tells_the_first_error_after_all_have_ended(on: Hosted) -> None:
    """No task of the group is left running unawaited, and an error is told once."""
    last = Work()

    async def broken() -> None:
        last.end.set()
        raise PluginSessionError("the index is broken")

    await on.host.spawn_hidden(on.scope_key, "a", broken)
    await on.host.spawn_hidden(on.scope_key, "b", last)
    with refused(PluginSessionError, "the index is broken"):
        await on.host.await_hidden(on.scope_key)
    assert 1 == last.runs
    await on.host.await_hidden(on.scope_key)


@on_each_host
async def an_exception_becomes_a_failure_that_names_it(on: Hosted) -> None:
    """What is no error of a plugin is wrapped."""

    async def broken() -> None:
        raise ValueError("no such page")

    await on.host.spawn_hidden(on.scope_key, "a", broken)
    with refused(PluginSessionError, "hidden background task failed: ", "no such page"):
        await on.host.await_hidden(on.scope_key)


@on_each_host
async def who_stops_waiting_stops_no_task(on: Hosted) -> None:
    """A barrier that was given up leaves its tasks to the next one."""
    work = Work()
    await on.host.spawn_hidden(on.scope_key, "a", work)
    await work.begun.wait()
    waiting = asyncio.create_task(on.host.await_hidden(on.scope_key))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not work.stopped.is_set()
    work.end.set()
    await on.host.await_hidden(on.scope_key)


@on_each_host
async def a_hidden_task_cannot_wait_for_its_own_scope(on: Hosted) -> None:
    """It would wait for itself for ever."""
    scope_key, host = on.scope_key, on.host

    async def waits() -> None:
        await host.await_hidden(scope_key)

    await host.spawn_hidden(scope_key, "a", waits)
    with refused(BackgroundTaskError, "its own scope"):
        await host.await_hidden(scope_key)


@on_each_host
async def scopes_wait_for_their_own_alone(on: Hosted) -> None:
    """Another runtime's hidden tasks, or another session's, hold nobody up."""
    work = Work()
    await on.host.spawn_hidden(on.scope_key, "a", work)
    await on.host.await_hidden(on.sibling("another"))
    assert not work.end.is_set()
    work.end.set()
    await on.host.await_hidden(on.scope_key)


@on_each_host
async def an_error_outlives_a_barrier_that_was_given_up(on: Hosted) -> None:
    """Nobody was told of it yet, so the next one is."""
    last, failed = Work(), asyncio.Event()

    async def broken() -> None:
        failed.set()
        raise PluginSessionError("the index is broken")

    await on.host.spawn_hidden(on.scope_key, "a", broken)
    await on.host.spawn_hidden(on.scope_key, "b", last)
    waiting = asyncio.create_task(on.host.await_hidden(on.scope_key))
    await asyncio.gather(failed.wait(), last.begun.wait())
    await _turns(5)
    waiting.cancel()
    await asyncio.wait({waiting})
    last.end.set()
    with refused(PluginSessionError, "the index is broken"):
        await on.host.await_hidden(on.scope_key)
    await on.host.await_hidden(on.scope_key)


@on_each_host
async def an_error_that_cannot_say_what_it_is_is_named(on: Hosted) -> None:
    """The barrier does not fail for want of its text."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    async def broken() -> None:
        raise MuteError

    await on.host.spawn_hidden(on.scope_key, "a", broken)
    with refused(PluginSessionError, "hidden background task failed: MuteError"):
        await on.host.await_hidden(on.scope_key)


@on_each_host
async def work_that_never_began_is_let_go_of(on: Hosted) -> None:
    """A coroutine whose scope is closed before its first step is closed too: nobody will await it."""
    work = Work()()
    await on.host.spawn_hidden(on.scope_key, "a", work)
    await on.host.close_scope(on.scope_key)
    assert inspect.CORO_CLOSED == inspect.getcoroutinestate(work)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
