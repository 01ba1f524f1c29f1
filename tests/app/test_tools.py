"""``@app.tool`` functions: as tools of processes, and as ``tool_call`` processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lash_core.errors import Failure, SettingsError
from lash_core.model.await_output import AnyAwaitOutput, FailureOutput, ProcessAwaitOutput, Success
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_input import PreparedToolCall, ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.tool_control import FinishControl
from lash_core.model.tool_output import ToolSuccess
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.runtime.tools import ToolContext
from lash_core.testing.waiting import eventually
from lash_worker import App
from tests.app.kit import Bench

app = App("tools")
begun: list[str] = []


@app.tool("search")
async def search(ctx: ToolContext, query: str, limit: int = 2) -> list[str]:
    """Search for something.

    The second paragraph is for readers of the code.
    """
    return [query] * limit


@app.tool("sync", description="runs in a thread")
def sync(ctx: ToolContext) -> str:
    return ctx.call_id


@app.tool("ends")
async def ends(ctx: ToolContext, how: str) -> Any:
    match how:
        case "failure":
            raise Failure("permission_denied", "no", "not yours", {"k": 1})
        case "error":
            raise LookupError("inside")
        case "odd":
            return object()
        case _:
            begun.append(how)
            return await asyncio.sleep(60)


@app.process("uses", disposition="rerunnable")
async def uses(ctx: ProcessContext, params: dict[str, Any]) -> Any:
    return [await ctx.tools.names(), await ctx.tools.call(params["tool"], params["args"])]


async def call(
    bench: Bench, tool: str, args: Any = None, token: CancellationToken | None = None, id: str = "p"
) -> AnyAwaitOutput:
    registration = ProcessRegistration(
        id,
        ProcessInput.tool_call(PreparedToolCall("c-1", tool, tool, args)),
        RecoveryDisposition.RERUNNABLE,
        env_ref=EMPTY_ENV_REF,
    )
    scoped = bench.stores.effect_host.scoped(ExecutionScope.process(id))
    return await ProcessRunner(bench).run_process(
        registration, ProcessExecutionContext.default(), scoped, token or CancellationToken()
    )


@pytest.fixture
def bench() -> Any:
    with Bench(app) as bench:
        yield bench


def test_a_manifest_describes_the_tool(bench: Bench) -> None:
    """Name, first paragraph, schema of the arguments."""
    manifests = {manifest.name: manifest for manifest in bench.plugin_host.build_session("s").tools.catalog()}

    assert "Search for something." == manifests["search"].description
    assert "runs in a thread" == manifests["sync"].description
    assert (["query"], {"query", "limit"}, False) == (
        manifests["search"].input_schema["required"],
        set(manifests["search"].input_schema["properties"]),
        manifests["search"].input_schema["additionalProperties"],
    )
    assert frozenset({"search", "sync", "ends"}) == bench.plugin_host.tool_names()


@pytest.mark.parametrize(
    ("tool", "args", "value"),
    [("search", {"query": "q"}, ["q", "q"]), ("search", {"query": "q", "limit": 1}, ["q"]), ("sync", None, "c-1")],
)
async def test_a_tool_call_process_runs_the_tool(bench: Bench, tool: str, args: Any, value: Any) -> None:
    """Async ones on the loop, others in a thread."""
    assert Success(value=value) == await call(bench, tool, args)


@pytest.mark.parametrize(
    ("tool", "args", "expected"),
    [
        ("search", {}, ("invalid_request", "tool_args_invalid")),
        ("search", {"query": "q", "more": 1}, ("invalid_request", "tool_args_invalid")),
        ("search", [1], ("invalid_request", "tool_args_invalid")),
        ("ends", {"how": "failure"}, ("permission_denied", "no")),
        ("ends", {"how": "error"}, ("execution", "tool_failed")),
        ("ends", {"how": "odd"}, ("invalid_request", "tool_result_invalid")),
        ("nobody", {}, ("internal", "process_tool_failed")),
    ],
)
async def test_every_end_of_a_tool_has_class_and_code(
    bench: Bench, tool: str, args: Any, expected: tuple[str, str]
) -> None:
    """Inside the tool by its own word, outside of it as the process's."""
    output = await call(bench, tool, args)

    assert isinstance(output, FailureOutput)
    assert expected == (output.class_.value, output.code)


async def test_a_cancelled_tool_call_is_cancelled(bench: Bench) -> None:
    """With the reason."""
    token = CancellationToken()
    task = asyncio.create_task(call(bench, "ends", {"how": "sleep"}, token))
    await eventually(lambda: begun == ["sleep"])
    token.cancel("enough")

    async with asyncio.timeout(5):
        assert ProcessAwaitOutput.cancelled("enough") == await task
    begun.clear()


async def test_a_process_calls_tools_by_name(bench: Bench) -> None:
    """Its session is built at the first call; a tool's failure is an exception there."""
    found = await bench.run("uses", {"tool": "search", "args": {"query": "q", "limit": 1}})
    failed = await bench.run("uses", {"tool": "ends", "args": {"how": "failure"}})
    unknown = await bench.run("uses", {"tool": "nobody", "args": {}})

    assert Success(value=[["ends", "search", "sync"], ["q"]]) == found
    assert isinstance(failed, FailureOutput)
    assert "ToolCallError: tool `ends` failed: no: not yours" == failed.message
    assert isinstance(unknown, FailureOutput)
    assert "ToolUnavailableError: unknown tool `nobody`" == unknown.message
    assert await bench.session_store_factory.open_existing_store("process-env:p") is not None


def positional(ctx: ToolContext, query: str, /) -> None: ...
def variable(ctx: ToolContext, **more: Any) -> None: ...


@pytest.mark.parametrize("function", [positional, variable])
def test_arguments_must_have_names(function: Any) -> None:
    """They are the properties of an object."""
    with pytest.raises(SettingsError, match="must be one that is given by name"):
        App("a").tool("t")(function)


# -- options --------------------------------------------------------------------------------------


def declared(function: Any, **options: Any) -> Any:
    """The tool of a fresh app."""
    fresh = App("options")
    fresh.tool("t", **options)(function)
    with Bench(fresh) as bench:
        session = bench.plugin_host.build_session("s")
        return session.tools.resolve("t")


async def test_options_of_a_tool_are_in_its_manifest() -> None:
    async def t(ctx: ToolContext, source: Any) -> Any:
        return source

    manifest = declared(t, retry=3, timeout_ms=500, serial=True, keep_refs_in="source").manifest
    assert (3, 500, "serial", "source") == (
        manifest.retry.attempts_max,
        manifest.timeout_ms,
        manifest.scheduling.value,
        manifest.argument_projection.field,
    )


async def test_a_failure_is_safe_to_retry_after_declared_exceptions_only() -> None:
    async def t(ctx: ToolContext, kind: str) -> Any:
        raise {"busy": ConnectionError, "bug": LookupError}[kind](kind)

    tool = declared(t, retry=2, retry_on=(ConnectionError, TimeoutError))
    busy, bug = [await tool.call(ToolContext("s", "c"), {"kind": kind}) for kind in ("busy", "bug")]
    assert (True, False) == (busy.is_safe_to_retry, bug.is_safe_to_retry)


async def test_a_tool_may_answer_a_whole_output() -> None:
    output = ToolSuccess("v", control=FinishControl("v").to_json_value())

    async def t(ctx: ToolContext) -> ToolSuccess:
        return output

    assert output == await declared(t).call(ToolContext("s", "c"), {})


@pytest.mark.parametrize("options", [{"retry": 0}, {"retry": 11}, {"timeout_ms": 0}, {"retries": 3}])
def test_options_that_are_not_legal_are_named(options: dict[str, Any]) -> None:
    async def t(ctx: ToolContext) -> None: ...

    with pytest.raises(SettingsError, match="tool `t`"):
        App("options").tool("t", **options)(t)
