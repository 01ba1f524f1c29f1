"""Declarations of isolated kinds, and who may run them. No OS process is started here."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from lash_core.errors import SettingsError
from lash_core.runtime.process.context import ProcessContext
from lash_core.settings import Settings
from lash_worker import App
from lash_worker.app import load_app
from lash_worker.cli.worker_options import AUTO
from lash_worker.cli.worker_run import runners
from lash_worker.isolation.horse_context import HorseContext, NotInHorseError, StopFlag
from lash_worker.isolation.horses import Horses
from lash_worker.isolation.opening import open_horses
from lash_worker.isolation.order import HorseEnd, HorseOrder, job_id_of
from lash_worker.thread_pool import ThreadPool
from tests.app.kit import Bench


def app_with(isolation: Any, function: Any = None) -> App:
    app = App("a")
    app.process("k", disposition="rerunnable", isolation=isolation)(function or compute)
    return app


def compute(ctx: Any) -> None:
    """A plain function."""


def test_an_async_function_cannot_be_isolated() -> None:
    """The text says what to write instead."""

    async def coroutine(ctx: Any) -> None: ...

    with pytest.raises(SettingsError, match=r"write `def` instead of `async def`|Write `def`"):
        app_with("process", coroutine)


@pytest.mark.parametrize("facts", [{"signals": {"go": None}}, {"event_types": ["said"]}])
def test_an_isolated_kind_has_neither_signals_nor_events(facts: dict[str, Any]) -> None:
    """Its function could not wait for the ones nor emit the others."""
    with pytest.raises(SettingsError, match="goes without signals and event_types"):
        App("a").process("k", disposition="rerunnable", isolation="process", **facts)(compute)


def test_there_is_one_isolation() -> None:
    """Another word is an error that names it."""
    with pytest.raises(SettingsError, match="isolation 'thread' must be 'process'"):
        app_with("thread")


@pytest.mark.parametrize("path", ["", "legacy", "legacy.jobs", ":run", "legacy:", "legacy jobs:run", "os;x:y", "a:b:c"])
def test_the_path_of_an_rq_function_is_module_and_name(path: str) -> None:
    """As the code of the app gives it; nothing is imported."""
    with pytest.raises(SettingsError, match=r"must be MODULE:FUNCTION"):
        App("a").rq_process("k", function=path, disposition="rerunnable")


def test_the_manifest_of_an_rq_function_says_what_it_is_called_with() -> None:
    """So a client checks args and kwargs before anything is written."""
    app = App("a", version="1")
    app.rq_process("k", function="legacy.jobs:run", disposition="owner_bound", queue="slow", timeout_ms=5)
    manifest = app.manifests()["k"]

    assert ("owner_bound", "slow", 5, "1") == (
        manifest.disposition,
        manifest.queue,
        manifest.timeout_ms,
        manifest.app_version,
    )
    assert isinstance(manifest.params_schema, dict)
    assert {"args", "kwargs"} == manifest.params_schema["anyOf"][1]["properties"].keys()
    with pytest.raises(SettingsError, match="declared twice"):
        app.rq_process("k", function="legacy.jobs:run", disposition="rerunnable")


def test_without_horses_an_isolated_kind_has_no_engine() -> None:
    """The worker lacks it as it lacks any kind; its manifest is known all the same."""
    app = app_with("process")
    with Bench(app) as bench:
        assert () == bench.plugin_host.process_engines.kinds
    assert ("k",) == app.isolated_kinds
    assert "k" in app.manifests()


def test_an_app_that_isolates_must_be_importable() -> None:
    """Runners import it again."""
    with pytest.raises(SettingsError, match=r"load it by its path"):
        asyncio.run(open_horses(1, [app_with("process")], Settings()))
    assert "tests.isolation.horse_app:app" == load_app("tests.isolation.horse_app:app").import_path


@pytest.mark.parametrize(("asked", "count"), [(None, 0), (0, 0), (3, 3), (AUTO, 1)])
def test_as_many_horses_as_were_asked_for(asked: int | None, count: int) -> None:
    """None at all for apps that isolate nothing."""
    assert count == runners(asked, [App("other"), app_with("process")])
    assert 0 == runners(asked, [app_with(None)])


def test_a_worker_without_horses_imports_neither_rq_nor_the_private_server() -> None:
    """They cost a fifth of a second."""
    code = (
        "import sys, lash_worker.supervisor, lash_worker.app\n"
        "print([name for name in ('rq', 'lash_worker.isolation.private_server') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == ended.stdout.strip()


def test_every_verb_of_the_context_is_there_or_says_why_not() -> None:
    """What a horse's context lacks is an error that tells where it belongs."""
    context = HorseContext(HorseOrder(job_id="j", app="a:b", kind="k", process_id="p"), StopFlag())
    verbs = {name for name in dir(ProcessContext) if not name.startswith("_")}
    plain = {"process_id", "attempt", "cancelled", "reason", "fence", "labels", "app_version", "log"}
    plain |= {"idempotency_key", "raise_if_cancelled"}

    assert plain <= verbs
    for name in verbs:
        if name in plain:
            getattr(context, name)
        else:
            with pytest.raises(NotInHorseError, match=rf"ctx\.{name} is not available in a work-horse"):
                getattr(context, name)


def test_the_stop_signal_interrupts_the_function_once() -> None:
    """Before it, it keeps it from being called; inside, it raises where the function is; a second one does nothing."""
    early = StopFlag()
    early.on_signal(15, None)
    with pytest.raises(asyncio.CancelledError), early:
        raise AssertionError("called")
    flag = StopFlag()
    with flag:
        with pytest.raises(asyncio.CancelledError):
            flag.on_signal(15, None)
        flag.on_signal(15, None)
        assert flag.is_set


def test_job_ids_are_legal_for_any_process_id() -> None:
    """Letters, digits and dashes; two attempts have two."""
    ids = [job_id_of("orders/2026/ü {x}", fence, "0a") for fence in (1, 2)]

    assert 2 == len(set(ids))
    assert all(name.replace("-", "").isalnum() and name.isascii() for name in ids)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (HorseEnd(signal=11), "was ended by SIGSEGV"),
        (HorseEnd(signal=200), "was ended by signal 200"),
        (HorseEnd(exit_code=3), "ended with exit code 3 and without an outcome"),
        (HorseEnd(detail="lost its runner"), "lost its runner"),
        (HorseEnd(), "is gone"),
    ],
)
def test_ends_are_named(end: HorseEnd, text: str) -> None:
    """For people and for ``raw``."""
    assert text == end.text
    assert {"exit_code", "signal"} <= end.evidence.keys()


def test_engines_of_isolated_kinds_need_horses() -> None:
    """With them, every kind has one."""

    class Nothing:
        def put(self, order: HorseOrder, rq_call: Any) -> None: ...
        def take_back(self, job_id: str) -> bool:
            return True

        def close(self) -> None: ...

    app = load_app("tests.isolation.horse_app:app")
    pool = ThreadPool(1, "t")
    assert 1 == Horses(1, Nothing(), {}).count
    assert ("plain",) == tuple(engine.kind for engine in app.plugin_factory().process_engines())
    kinds = {engine.kind for engine in app.plugin_factory(horses=Horses(1, Nothing(), {})).process_engines()}
    assert set(app.manifests()) == kinds
    pool.close()
