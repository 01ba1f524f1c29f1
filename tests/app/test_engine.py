"""An ``@app.process`` function: params in, result out, and every way it can end."""

from __future__ import annotations

import asyncio
import datetime
import enum
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from lash_core.errors import Failure, StoreUnreachableError
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, Success
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.scope import SessionScope
from lash_core.model.tool_state import ToolState
from lash_core.runtime.process.context import ProcessContext
from lash_worker import App
from tests.app.kit import Bench


class Month(BaseModel):
    model_config = ConfigDict(strict=True)
    month: datetime.date
    copies: int = 1


class Color(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Named(TypedDict):
    name: str


def code(output: AnyAwaitOutput) -> tuple[str, str]:
    assert isinstance(output, FailureOutput), output
    return output.class_.value, output.code


def message(output: AnyAwaitOutput) -> str:
    assert isinstance(output, FailureOutput), output
    return output.message


app = App("engine", version="7")


@app.process("model", disposition="rerunnable")
async def take_model(ctx: ProcessContext, params: Month) -> Month:
    return params.model_copy(update={"copies": params.copies + 1})


@app.process("dataclass", disposition="rerunnable")
def take_dataclass(ctx: ProcessContext, params: Point) -> Point:
    return Point(params.y, params.x)


@app.process("typed-dict", disposition="rerunnable")
async def take_typed_dict(ctx: ProcessContext, params: Named) -> str:
    return params["name"]


@app.process("primitive", disposition="rerunnable")
async def take_primitive(ctx: ProcessContext, params: int) -> list[int]:
    return [params, params]


@app.process("raw", disposition="rerunnable")
async def take_raw(ctx, params):  # type: ignore[no-untyped-def]
    return {"given": params, "when": datetime.date(2026, 1, 2), "color": Color.RED, "point": Point(1), "set": {1}}


@app.process("none", disposition="rerunnable")
async def take_none(ctx: ProcessContext) -> None:
    return None


@app.process("default", disposition="rerunnable")
async def take_default(ctx: ProcessContext, params: Point = Point(5)) -> int:  # noqa: B008
    return params.x


@app.process("wrong-result", disposition="rerunnable")
async def wrong_result(ctx: ProcessContext) -> int:
    return "not a number"  # type: ignore[return-value]


@app.process("odd-result", disposition="rerunnable")
async def odd_result(ctx: ProcessContext, params: str) -> Any:
    return {"nan": float("nan"), "object": object(), "key": {1: 2, (1, 2): 3}, "surrogate": "\ud800"}[params]


@app.process("raises", disposition="rerunnable")
async def raises(ctx: ProcessContext, params: str) -> None:
    match params:
        case "exit":
            raise SystemExit(3)
        case "failure":
            raise Failure("permission_denied", "no_key", "the key is missing", {"key": 7})
        case "odd failure":
            raise Failure("bogus", "c", "m")
        case "big failure":
            raise Failure("external", "big", "m" * 100_000, "r" * 1_000_000)
        case "unstorable failure":
            raise Failure("external", "c", "m", {"no": object()})
        case "surrogate":
            raise ValueError("bad \ud800 name")
        case "own cancel":
            task = asyncio.create_task(asyncio.sleep(60))
            task.cancel()
            await task
        case "os":
            raise ConnectionResetError("a service of the user's")
        case _:
            raise LookupError(params)


@pytest.fixture
def bench() -> Any:
    with Bench(app) as bench:
        yield bench


@pytest.mark.parametrize(
    ("kind", "params", "value"),
    [
        ("model", {"month": "2026-10-01"}, {"month": "2026-10-01", "copies": 2}),
        ("dataclass", {"x": 1, "y": 2}, {"x": 2, "y": 1}),
        ("typed-dict", {"name": "n"}, "n"),
        ("primitive", 4, [4, 4]),
        ("none", None, None),
        ("none", {}, None),
        ("default", None, 5),
        ("default", {"x": 6}, 6),
        (
            "raw",
            [1, None],
            {"given": [1, None], "when": "2026-01-02", "color": "red", "point": {"x": 1, "y": 0}, "set": [1]},
        ),
    ],
)
async def test_params_and_results_follow_the_annotations(bench: Bench, kind: str, params: Any, value: Any) -> None:
    """Params mean what they mean in JSON, also for strict models; results are JSON."""
    assert Success(value=value) == await bench.run(kind, params)


@pytest.mark.parametrize(
    ("kind", "params", "field"),
    [
        ("model", {"month": "never"}, "params.month"),
        ("model", None, "params"),
        ("dataclass", {"y": 1}, "params.x"),
        ("primitive", "four", "params"),
        ("none", {"x": 1}, "params"),
    ],
)
async def test_params_that_do_not_match_fail_without_running(bench: Bench, kind: str, params: Any, field: str) -> None:
    """Class, code and the path of the first fault."""
    output = await bench.run(kind, params)

    assert ("invalid_request", "process_params_invalid") == code(output)
    assert message(output).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("kind", "params"),
    [("wrong-result", None), *(("odd-result", name) for name in ("nan", "object", "key", "surrogate"))],
)
async def test_a_result_that_does_not_encode_is_a_failure(bench: Bench, kind: str, params: Any) -> None:
    """Wrong type, NaN, an object, keys that are no strings, a lone surrogate."""
    assert ("invalid_request", "process_result_invalid") == code(await bench.run(kind, params))


async def test_an_exception_is_a_failure_with_type_and_text(bench: Bench) -> None:
    """Without a traceback, unless the host asks for it."""
    output = await bench.run("raises", "what")

    assert ProcessAwaitOutput.failure("execution", "process_failed", "LookupError: what") == output
    with Bench(app, record_tracebacks=True) as telling:
        told = await telling.run("raises", "what")
    assert isinstance(told, FailureOutput)
    assert "raise LookupError(params)" in told.raw["traceback"]


async def test_a_failure_is_recorded_as_raised(bench: Bench) -> None:
    """Class, code, message and raw."""
    expected = ProcessAwaitOutput.failure("permission_denied", "no_key", "the key is missing", {"key": 7})

    assert expected == await bench.run("raises", "failure")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("odd failure", ("execution", "process_failed")),
        ("big failure", ("external", "big")),
        ("unstorable failure", ("external", "c")),
        ("surrogate", ("execution", "process_failed")),
        ("exit", ("execution", "process_failed")),
        ("own cancel", ("execution", "process_failed")),
        ("os", ("execution", "process_failed")),
    ],
)
async def test_every_failure_can_be_stored(bench: Bench, params: str, expected: tuple[str, str]) -> None:
    """However odd the class, the text or the size: the store takes it, and the worker lives on."""
    context = await bench.claim("raises", params)
    output = await bench.run("raises", params, context=context)

    assert expected == code(output)
    assert context.run_lease is not None
    record = await bench.process_registry.complete_process_with_lease(context.run_lease.require(), output)
    assert "failed" == record.status.state


async def test_a_row_carries_its_facts_into_the_context() -> None:
    """Identity, attempt, fence, labels, version; the same idempotency key in every attempt."""
    facts: dict[str, Any] = {}
    local = App("facts", version="7")

    @local.process("facts", disposition="rerunnable", queue="q")
    async def tell(ctx: ProcessContext) -> None:
        facts.update(
            id=ctx.process_id,
            attempt=ctx.attempt,
            fence=ctx.fence,
            labels=ctx.labels,
            version=ctx.app_version,
            key=ctx.idempotency_key("charge"),
            other=ctx.idempotency_key("refund"),
            extra=ctx.log.process("m", {"extra": {"step": 2, "fence": "not the run's"}})[1]["extra"],
        )

    with Bench(local) as bench:
        context = await bench.claim("facts", queue="q")
        await bench.run("facts", context=context, queue="q")
        first = dict(facts)
        await bench.run("facts")

    assert context.run_lease is not None
    fence = context.run_lease.lease.fencing_token
    assert ("p", 1, fence, {"kind": "facts", "queue": "q"}, "7") == (
        first["id"],
        first["attempt"],
        first["fence"],
        first["labels"],
        first["version"],
    )
    assert {"process_id": "p", "fence": fence, "owner": "worker", "step": 2} == first["extra"]
    assert first["key"] == facts["key"] != facts["other"]
    assert 0 == facts["fence"]


async def test_emit_appends_a_declared_event_under_the_lease() -> None:
    """Once over all attempts, by key or as the n-th of its type; undeclared, core and ending types are refused."""
    local = App("emits")

    @local.process("emits", disposition="rerunnable", event_types=["step.done"])
    async def emits(ctx: ProcessContext) -> list[int]:
        first = await ctx.emit("step.done", {"n": 1}, key="one")
        again = await ctx.emit("step.done", {"n": 1}, key="one")
        other = await ctx.emit("step.done", {"n": 2})
        return [first.sequence, again.sequence, other.sequence]

    @local.process("bad", disposition="rerunnable")
    async def bad(ctx: ProcessContext, params: str) -> None:
        await ctx.emit(params)

    with Bench(local) as bench:
        context = await bench.claim("emits")
        assert Success(value=[1, 1, 2]) == await bench.run("emits", context=context)
        assert Success(value=[1, 1, 2]) == await bench.run("emits", context=context)
        events = await bench.process_registry.events_after("p", 0)
        assert [{"n": 1}, {"n": 2}] == [event.payload for event in events]
        bad_context = await bench.claim("bad", "x", id="q")
        for event_type, says in (
            ("step.done", "emitted undeclared event type"),
            ("process.completed", "cannot be emitted"),
        ):
            output = await bench.run("bad", event_type, context=bad_context, id="q")
            assert ("execution", "process_failed") == code(output)
            assert says in message(output)


async def test_wakes_of_a_run_go_to_its_wake_target() -> None:
    """The context's scope is the request's."""
    seen: list[ProcessEventAppendRequest] = []
    local = App("wakes")

    @local.process("wakes", disposition="rerunnable", event_types=["note"])
    async def wakes(ctx: ProcessContext) -> None:
        await ctx.emit("note")

    with Bench(local) as bench:
        append = bench.process_registry.append_event

        async def spy(process_id: str, request: ProcessEventAppendRequest, **named: Any) -> Any:
            seen.append(request)
            return await append(process_id, request, **named)

        bench.process_registry.append_event = spy
        context = (await bench.claim("wakes")).with_wake_target_scope(SessionScope("s"))
        await bench.run("wakes", context=context)

    assert [SessionScope("s")] == [request.wake_target_scope for request in seen]


async def test_a_store_failure_of_the_context_is_the_workers_business() -> None:
    """When the function lets it pass; the same type of error from elsewhere is the function's own."""
    local = App("outage")

    @local.process("outage", disposition="rerunnable", event_types=["note"])
    async def outage(ctx: ProcessContext, params: str) -> str:
        if params == "own":
            raise StoreUnreachableError("another system")
        try:
            await ctx.emit("note")
        except StoreUnreachableError:
            if params == "pass":
                raise
        return "handled"

    with Bench(local) as bench:

        async def gone(*args: Any, **named: Any) -> Any:
            raise StoreUnreachableError("gone")

        bench.process_registry.append_event = gone
        with pytest.raises(StoreUnreachableError, match="gone"):
            await bench.run("outage", "pass")
        assert Success(value="handled") == await bench.run("outage", "catch")
        assert ("execution", "process_failed") == code(await bench.run("outage", "own"))


async def test_nothing_is_built_for_a_plain_function(bench: Bench) -> None:
    """No session, no runtime: that is what keeps it light (decision 15)."""
    await bench.run("none")

    assert await bench.session_store_factory.open_existing_store("process-env:p") is None
    assert ToolState() == bench.plugin_host.build_session("s").tools.export_state()
