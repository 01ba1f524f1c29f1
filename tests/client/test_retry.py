"""Retries by hand: new processes, linked to the first one."""

from __future__ import annotations

import asyncio

import pytest

from lash_core.client import LashClient
from lash_core.client_retry import retries_of, retry_of
from lash_core.errors import (
    InvalidArgumentError,
    NotRetryableError,
    ProcessFailed,
    RegistrationConflictError,
    UnknownProcessError,
)
from lash_core.model.await_output import ProcessAwaitOutput
from lash_core.model.registration import RetryPolicy
from tests.client.app_stub import REPORT, StubApp, claim, finish
from tests.client.conftest import AnyStores

FAILED = ProcessAwaitOutput.failure("execution", "process_failed", "no")


async def ended(stores: AnyStores, process_id: str, output: object = FAILED) -> None:
    assert isinstance(output, ProcessAwaitOutput)
    await finish(stores, process_id, output)  # pyright: ignore[reportArgumentType] - the four outcomes are its classes


@pytest.fixture
def lash(stores: AnyStores) -> LashClient:
    """With an app whose kinds have every fact that a retry must keep."""
    manifest = REPORT.model_copy(update={"retry_policy": RetryPolicy(attempts_max=3), "version_pin": "7"})
    return LashClient(stores, app=StubApp(manifest))


async def test_a_retry_is_the_same_request_under_another_id(stores: AnyStores, lash: LashClient) -> None:
    """Input, kind, label, queue, signals, timeout, pin and policy; the first row stays as it ended."""
    first = await lash.enqueue("report.build", {"month": "2026-10"}, process_id="p", label="L", delay_ms=1, scope="s")
    await ended(stores, "p")
    retry = await lash.retry("p")

    old, new = await first.record(), await retry.record()
    assert ("p.retry-1", True) == (retry.process_id, retry.created)
    assert ("p", None) == (retry_of(new), retry_of(old))
    kept = ("input", "disposition", "identity", "event_types", "env_ref", "queue", "timeout_ms", "app_version")
    assert all(getattr(old, name) == getattr(new, name) for name in (*kept, "version_pin", "retry_policy"))
    assert old.provenance.originator == new.provenance.originator
    assert (None, "running") == (new.due_at_ms, new.status.state)
    with pytest.raises(ProcessFailed):
        await first.result()


async def test_one_retry_at_a_time(stores: AnyStores, lash: LashClient) -> None:
    """To ask again while one is under way answers that one, also at the same moment, and by the id of any of them."""
    await lash.enqueue("report.build", {"month": "x"}, process_id="p")
    await ended(stores, "p")

    at_once = await asyncio.gather(*(lash.retry("p") for _ in range(5)))
    assert ["p.retry-1"] * 5 == [handle.process_id for handle in at_once]
    assert 1 == sum(handle.created is True for handle in at_once)
    await ended(stores, "p.retry-1")
    second = await lash.retry("p.retry-1")
    assert ("p.retry-2", True) == (second.process_id, second.created)
    assert ("p.retry-2", False) == ((await lash.retry("p")).process_id, (await lash.retry("p")).created)
    assert ["p.retry-1", "p.retry-2"] == [row.id for row in await retries_of(stores.process_registry, "p")]
    assert "p" == retry_of(await second.record())


async def test_what_runs_or_succeeded_is_not_retried(stores: AnyStores, lash: LashClient) -> None:
    """Unless it is forced, for a success; a success of the last retry counts as well."""
    await lash.enqueue("report.build", {"month": "x"}, process_id="p")
    with pytest.raises(NotRetryableError, match="has not ended"):
        await lash.retry("p")
    await ended(stores, "p")
    await lash.retry("p")
    await ended(stores, "p.retry-1", ProcessAwaitOutput.success(1))
    for process_id in ("p", "p.retry-1"):
        with pytest.raises(NotRetryableError, match=r"`p\.retry-1` has completed"):
            await lash.retry(process_id)
    assert "p.retry-2" == (await lash.retry("p", force=True)).process_id
    with pytest.raises(UnknownProcessError):
        await lash.retry("nobody")


async def test_cancelled_and_abandoned_processes_are_retried(stores: AnyStores, lash: LashClient) -> None:
    """Everything that ended without success."""
    handle = await lash.enqueue("report.build", {"month": "x"}, process_id="p")
    await handle.cancel("by mistake")

    assert (await lash.retry("p")).created is True


async def test_a_retry_under_a_name_of_its_own(stores: AnyStores, lash: LashClient) -> None:
    """The same name again is the same process; a name that is taken is a conflict."""
    await lash.enqueue("report.build", {"month": "x"}, process_id="p")
    await lash.enqueue("report.build", {"month": "y"}, process_id="taken")
    await ended(stores, "p")

    assert (True, False) == ((await lash.retry("p", "again")).created, (await lash.retry("p", "again")).created)
    with pytest.raises(RegistrationConflictError):
        await lash.retry("p", "taken")
    with pytest.raises(InvalidArgumentError, match="new id"):
        await lash.retry("p", "a#b")
    long = "p" * 198
    await lash.enqueue("report.build", {"month": "x"}, process_id=long)
    await ended(stores, long)
    with pytest.raises(InvalidArgumentError, match="give another one"):
        await lash.retry(long)
    assert (await lash.retry(long, "short")).created is True


async def test_a_pruned_retry_leaves_its_number(stores: AnyStores, lash: LashClient) -> None:
    """The number after the last one that is stored is taken, so that no live retry is overlooked."""
    await lash.enqueue("report.build", {"month": "x"}, process_id="p")
    await ended(stores, "p")
    for _ in range(2):
        await ended(stores, (await lash.retry("p")).process_id)
    third = await lash.retry("p")
    cutoff_ms = (await stores.process_registry.server_time_ms()) + 1
    await claim(stores, third.process_id)
    await stores.process_registry.prune_terminal_processes(cutoff_ms)

    assert await lash.get("p") is None
    assert "p.retry-3" == (await lash.retry("p.retry-3")).process_id
