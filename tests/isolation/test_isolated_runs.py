"""Isolated kinds as a client sees them: results, failures, deaths, cancels, timeouts."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from lash_core import ProcessCancelled, ProcessFailed
from lash_core.testing.waiting import eventually
from lash_worker.isolation import engine
from tests.isolation.conftest import Barn, is_alive, pids_of

pytestmark = [pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]


async def test_params_go_in_and_the_result_comes_out(barn: Barn) -> None:
    """Both validated by the function's annotations."""
    handle = await barn.lash.enqueue("sum", {"a": 1, "b": 2})

    assert 3 == await handle.result(timeout=20)


async def test_each_run_has_a_process_and_a_group_of_its_own(barn: Barn, process_id: str) -> None:
    """And a context that knows who it is, but nothing of the loop."""
    handle = await barn.lash.enqueue("facts", process_id=process_id, label="x")
    facts = await handle.result(timeout=20)

    assert os.getpid() not in (facts["pid"], facts["ppid"])
    assert facts["pid"] == facts["group"]
    assert (process_id, 1, "3", False, False) == tuple(
        facts[name] for name in ("process_id", "attempt", "version", "cancelled", "has_step")
    )
    assert hashlib.sha256(f"{process_id}:mail".encode()).hexdigest() == facts["key"]
    assert {"kind": "facts", "queue": "default", "label": "x"} == facts["labels"]
    assert facts["fence"] > 0
    assert "ctx.step is not available in a work-horse" in facts["refused"]


@pytest.mark.parametrize(
    ("kind", "params", "class_", "code", "text"),
    [
        ("sum", {"a": 1, "b": "two"}, "invalid_request", "process_params_invalid", "params.b"),
        ("fail", "failure", "external", "no_paper", "out of paper"),
        ("fail", "exception", "execution", "process_failed", "KeyError: 'x'"),
        ("fail", "exit", "execution", "process_failed", "SystemExit: 3"),
        ("fail", "cancelled", "execution", "process_failed", "CancelledError"),
        ("fail", "object", "invalid_request", "process_result_invalid", "object"),
        ("fail", "large", "invalid_request", "process_result_invalid", "300032 bytes; a work-horse may answer 262144"),
        ("legacy.report", {"args": "x"}, "invalid_request", "process_params_invalid", '"args" (a list)'),
        ("legacy.missing", {}, "execution", "process_failed", "AttributeError"),
    ],
)
async def test_ends_of_functions(barn: Barn, kind: str, params: Any, class_: str, code: str, text: str) -> None:
    """Classes and codes are those of functions that are not isolated."""
    registration = (await barn.lash.prepare("facts")).model_copy(
        update={"id": f"{kind}-{code}-{text}"[:100], "identity": None}
    )
    registration = registration.model_copy(
        update={"input": registration.input.model_copy(update={"kind": kind, "payload": params})}
    )
    await barn.lash.stores.process_registry.register_process(registration)

    with pytest.raises(ProcessFailed) as failed:
        await barn.lash.handle(registration.id).result(timeout=20)

    assert (class_, code) == (failed.value.class_, failed.value.code)
    assert text in failed.value.message


@pytest.mark.parametrize(
    ("how", "text", "facts"),
    [
        ("segfault", "was ended by SIGSEGV", {"signal": "SIGSEGV", "exit_code": None}),
        ("os_exit", "ended with exit code 7", {"signal": None, "exit_code": 7}),
        ("oom", "was ended by SIGKILL (by hand, or by the kernel", {"signal": "SIGKILL", "exit_code": None}),
        ("term", "was ended by a SIGTERM that its worker did not send", {"exit_code": 0}),
        ("runner", "lost its runner", {"exit_code": None, "signal": None}),
    ],
)
async def test_the_death_of_a_horse_is_an_outcome(barn: Barn, how: str, text: str, facts: dict[str, Any]) -> None:
    """Not a lost job and not a wait for minutes: the exit status stands in ``raw``, and the next run goes on."""
    started = time.monotonic()
    handle = await barn.lash.enqueue("die", how)
    with pytest.raises(ProcessFailed) as failed:
        await handle.result(timeout=20)

    assert ("execution", "process_horse_died") == (failed.value.class_, failed.value.code)
    assert text in failed.value.message
    assert isinstance(failed.value.raw, dict)
    assert facts == {name: failed.value.raw.get(name) for name in facts}
    assert 5 > time.monotonic() - started
    assert 9 == await (await barn.lash.enqueue("sum", {"a": 4, "b": 5})).result(timeout=20)


async def test_a_dead_horse_is_retried_by_the_policy_of_its_kind(barn: Barn, tmp_path: Path) -> None:
    """As every failure."""
    assert "second time" == await (await barn.lash.enqueue("flaky", str(tmp_path))).result(timeout=20)


async def test_what_a_function_leaves_behind_ends_with_it(barn: Barn) -> None:
    """Its process group is its run's, also after a success."""
    pid = await (await barn.lash.enqueue("litter")).result(timeout=20)

    await eventually(lambda: not is_alive(pid))


async def test_a_cancel_kills_the_horse_and_what_it_started(barn: Barn, process_id: str, tmp_path: Path) -> None:
    """The function is interrupted where it is; its ``finally`` blocks run."""
    handle = await barn.lash.enqueue("wait", {"folder": str(tmp_path)}, process_id=process_id)
    pids = await pids_of(tmp_path, process_id)
    await handle.cancel(reason="enough")

    with pytest.raises(ProcessCancelled, match="enough"):
        await handle.result(timeout=20)
    assert "cleaned up" == (tmp_path / f"{process_id}.ended").read_text()
    await eventually(lambda: not any(is_alive(pid) for pid in pids))


async def test_a_value_returned_after_a_cancel_counts(barn: Barn, process_id: str, tmp_path: Path) -> None:
    """As it does for functions that are not isolated."""
    handle = await barn.lash.enqueue("wait", {"folder": str(tmp_path), "finish": True}, process_id=process_id)
    await pids_of(tmp_path, process_id)
    await handle.cancel()

    assert "finished anyway" == await handle.result(timeout=20)


async def test_what_ignores_sigterm_is_killed_after_the_grace(
    barn: Barn, process_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its child, which ignores nothing, goes with it."""
    monkeypatch.setattr(engine, "STOP_GRACE_MS", 200)
    handle = await barn.lash.enqueue("wait", {"folder": str(tmp_path), "stubborn": True}, process_id=process_id)
    pids = await pids_of(tmp_path, process_id)
    await handle.cancel(reason="now")

    with pytest.raises(ProcessCancelled, match="now"):
        await handle.result(timeout=20)
    await eventually(lambda: not any(is_alive(pid) for pid in pids))
    assert not (tmp_path / f"{process_id}.ended").exists()


async def test_a_timeout_kills_and_fails(barn: Barn, process_id: str, tmp_path: Path) -> None:
    """Class and code as everywhere."""
    handle = await barn.lash.enqueue("wait", {"folder": str(tmp_path)}, process_id=process_id, timeout_ms=700)
    pids = await pids_of(tmp_path, process_id)

    with pytest.raises(ProcessFailed, match="ran longer than 700 ms") as failed:
        await handle.result(timeout=20)
    assert ("timeout", "process_timeout") == (failed.value.class_, failed.value.code)
    await eventually(lambda: not any(is_alive(pid) for pid in pids))


async def test_a_lost_lease_kills_the_horse_and_writes_nothing(barn: Barn, process_id: str, tmp_path: Path) -> None:
    """Without any grace: somebody else may run the process by now."""
    await barn.lash.enqueue("wait", {"folder": str(tmp_path), "stubborn": True}, process_id=process_id)
    pids = await pids_of(tmp_path, process_id)
    run = barn.supervisor.driver.executor.runs[process_id]
    barn.supervisor.driver.keeper.report_loss(run.held, "fenced")

    await eventually(lambda: not any(is_alive(pid) for pid in pids))
    record = await barn.lash.get(process_id)
    assert record is not None
    assert not record.is_terminal


async def test_an_rq_function_runs_as_the_job_that_it_expects(barn: Barn) -> None:
    """``get_current_job`` answers, with function and arguments; the path stood in the app's code."""
    handle = await barn.lash.enqueue("legacy.report", {"args": ["2026-10"], "kwargs": {"copies": 2}})

    assert {
        "month": "2026-10",
        "copies": 2,
        "function": "tests.isolation.legacy_jobs.nightly_report",
        "args": ["2026-10"],
        "kwargs": {"copies": 2},
    } == await handle.result(timeout=20)
    assert "u" == await (await barn.lash.enqueue("legacy.async", {"args": ["u"]})).result(timeout=20)


async def test_more_runs_than_horses_wait_their_turn(barn: Barn) -> None:
    """At most two at once and two waiting are held; all of them end."""
    items = await barn.lash.enqueue_many("sum", [{"a": number, "b": 0} for number in range(12)])
    handles = [item.handle for item in items if item.handle is not None]

    assert list(range(12)) == await asyncio.gather(*(handle.result(timeout=30) for handle in handles))
