"""Tools of real MCP servers: listing, calls, failures, lost connections, changes (docs/contracts/tools.md 6)."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from lash_core.errors import SettingsError
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import ToolRetryDisposition
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.plugin.host import PluginHost, PluginSession
from lash_core.runtime.tools import ToolContext
from lash_core.testing.waiting import eventually
from tests.mcp_tools.conftest import PROGRAM, Closes, HttpServer
from tests.runtime.tool_kit import Turn, call

mcp = pytest.importorskip("lash_core.mcp", reason="THE EXTRA [mcp] IS NOT INSTALLED")
McpToolsFactory, McpStdioServer, McpHttpServer, McpTimings = (
    mcp.McpToolsFactory,
    mcp.McpStdioServer,
    mcp.McpHttpServer,
    mcp.McpTimings,
)

FAST = McpTimings(reconnect_min_ms=50, reconnect_max_ms=200, connect_timeout_ms=20_000)
Closing = Callable[[Closes], None]


def stdio(**facts: Any) -> Any:
    """The program over its standard streams."""
    facts = {"name": "probe", "timings": FAST} | facts
    return McpStdioServer(command=sys.executable, args=(PROGRAM, "stdio"), **facts)


def http(server: HttpServer, **facts: Any) -> Any:
    """The program over HTTP."""
    return McpHttpServer(url=server.url, **({"name": "probe", "timings": FAST} | facts))


async def session_of(factory: Any) -> PluginSession:
    """A session of a host with the factory's servers; all connected or not to be reached."""
    session = PluginHost([factory]).build_session("s")
    await factory.ready()
    session.tools.refresh_sources()
    return session


async def run(
    session: PluginSession, tool: str, token: CancellationToken | None = None, /, **args: Any
) -> AnyToolOutput:
    context = ToolContext("s", "c", cancellation=token or CancellationToken())
    return await session.tools.resolve(tool).call(context, args)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared program says that a call was cancelled."""
    return tmp_path_factory.mktemp("mcp") / "seen"


@pytest.fixture(scope="module", params=["stdio", "http"])
def shared(request: pytest.FixtureRequest, seen: Path) -> Iterator[Any]:
    """A factory over each transport, for tests that break nothing."""
    server = request.getfixturevalue("http_server") if request.param == "http" else None
    env = {"PROBE_FILE": SecretStr(str(seen)), "PROBE_SECRET": SecretStr("hush")}
    factory = McpToolsFactory([http(server) if server else stdio(env=env)])
    yield factory
    factory.close()


@pytest.fixture
async def session(shared: Any) -> PluginSession:
    """A session with the program's tools, over both transports."""
    session = await session_of(shared)
    await eventually(lambda: _has(session, "probe_add"), within_ms=20_000)
    return session


async def test_the_servers_tools_are_members_under_its_prefix(session: PluginSession) -> None:
    manifest = next(one for one in session.tools.catalog() if one.name == "probe_add")
    assert ("mcp:probe:add", "Add two numbers.") == (manifest.tool_id, manifest.description)
    assert ["a", "b"] == manifest.input_schema["required"]


async def test_answers_and_failures(session: PluginSession) -> None:
    added, words, refused, broke, odd = await asyncio.gather(
        run(session, "probe_add", a=1, b=2),
        run(session, "probe_words", text="one two"),
        run(session, "probe_add", a="x", b=2),
        run(session, "probe_broken", text="inside"),
        session.tools.resolve("probe_add").call(ToolContext("s", "c"), [1]),
    )
    assert ToolSuccess({"result": 3}) == added
    assert ToolSuccess("one\ntwo") == words
    for failure in (refused, broke):
        assert isinstance(failure, ToolFailure)
        assert ("execution", "mcp_tool_error", None) == (failure.class_.value, failure.code, failure.retry)
    assert isinstance(refused, ToolFailure)
    assert "valid integer" in refused.message
    assert isinstance(odd, ToolFailure)
    assert "tool_args_invalid" == odd.code


async def test_a_new_tool_is_there_at_the_next_refresh(session: PluginSession) -> None:
    before = session.tools.generation
    await run(session, "probe_grow", name="extra")
    await eventually(lambda: _has(session, "probe_extra"))
    assert ToolSuccess({"result": "extra"}) == await run(session, "probe_extra")
    assert session.tools.generation > before


def _has(session: PluginSession, name: str) -> bool:
    session.tools.refresh_sources()
    return any(manifest.name == name for manifest in session.tools.catalog())


async def test_a_call_in_a_turn_streams_its_progress_and_ends_with_it(session: PluginSession) -> None:
    turn = Turn([session.tools.resolve("probe_slow")])
    round_ = asyncio.create_task(turn.dispatch(call("probe_slow", args={"seconds": 60})))
    await eventually(lambda: any(facts.get("event") == "tool_progress" for _, _, facts in turn.live))
    assert {"progress": 1.0, "total": 2.0, "message": "half way"} == turn.live[1][2]["progress"]
    began = time.monotonic()
    turn.token.cancel("stop")
    results, _ = await round_
    assert (True, True) == (results.cancelled, time.monotonic() - began < 2)


async def test_a_cancelled_call_is_told_to_the_server_and_the_connection_goes_on(
    session: PluginSession, seen: Path
) -> None:
    seen.unlink(missing_ok=True)
    token = CancellationToken()
    asyncio.get_running_loop().call_later(0.05, token.cancel, "stop")
    assert ToolCancelled("stop") == await run(session, "probe_slow", token, seconds=60)
    assert ToolSuccess({"result": 3}) == await run(session, "probe_add", a=1, b=2)
    if (await run(session, "probe_env", name="PROBE_FILE")) == ToolSuccess({"result": str(seen)}):
        await eventually(seen.exists)


async def test_a_servers_variables_are_given_and_never_shown(session: PluginSession) -> None:
    assert "hush" not in repr(stdio(env={"PROBE_SECRET": SecretStr("hush")}))
    secret = await run(session, "probe_env", name="PROBE_SECRET")
    home = await run(session, "probe_env", name="HOME")
    assert isinstance(secret, ToolSuccess)
    assert isinstance(home, ToolSuccess)
    assert secret.value["result"] in ("hush", "")
    assert home.value["result"]


async def test_bytes_of_an_answer_become_an_attachment(session: PluginSession) -> None:
    turn = Turn([session.tools.resolve("probe_picture")])
    (output,) = await turn.outputs(call("probe_picture"))
    assert isinstance(output, ToolSuccess)
    (block,) = output.value
    assert ("attachment", "image/png") == (block["type"], block["reference"]["media_type"])
    stored = await turn.stores.attachments.get(block["reference"]["attachment_id"])
    assert b"\x89PNG not really" == stored
    outside = await run(session, "probe_picture")
    assert ToolSuccess([{"type": "attachment_left_out", "media_type": "image/png", "size_bytes": 15}]) == outside


@pytest.mark.faults
async def test_a_call_has_a_time_limit_and_a_server_that_dies_is_started_again(closing: Closing) -> None:
    timings = FAST.model_copy(update={"call_timeout_ms": 1_000})
    factory = McpToolsFactory([stdio(timings=timings, trust_annotations=True)])
    closing(factory)
    session = await session_of(factory)
    late = await run(session, "probe_slow", seconds=60)
    assert isinstance(late, ToolFailure)
    assert ("timeout", "mcp_timeout", None) == (late.class_.value, late.code, late.retry)
    died = await run(session, "probe_die")
    assert isinstance(died, ToolFailure)
    assert ("external", "mcp_connection_lost") == (died.class_.value, died.code)
    # Whether the call was carried out is not known; a tool that only reads may be called again where that is believed.
    assert ToolRetryDisposition("safe") == died.retry
    assert "probe_add" in {manifest.name for manifest in session.tools.catalog()}
    assert ToolSuccess({"result": 3}) == await run(session, "probe_add", a=1, b=2), "waits for the new connection"


@pytest.mark.faults
async def test_a_server_that_was_away_is_found_again(closing: Closing, other_http_server: HttpServer) -> None:
    http_server = other_http_server
    timings = FAST.model_copy(update={"connect_timeout_ms": 1_000})
    factory = McpToolsFactory([http(http_server, timings=timings)])
    closing(factory)
    session = await session_of(factory)
    await eventually(lambda: _has(session, "probe_add"), within_ms=20_000)
    assert ToolSuccess({"result": 3}) == await run(session, "probe_add", a=1, b=2)
    http_server.kill()
    gone = await run(session, "probe_add", a=1, b=2)
    assert isinstance(gone, ToolFailure)
    assert gone.code in ("mcp_connection_lost", "mcp_unavailable")
    still = await run(session, "probe_add", a=1, b=2)
    assert isinstance(still, ToolFailure)
    assert ("unavailable", "mcp_unavailable", ToolRetryDisposition("safe")) == (
        still.class_.value,
        still.code,
        still.retry,
    )
    http_server.start()

    async def answers() -> bool:
        return isinstance(await run(session, "probe_add", a=1, b=2), ToolSuccess)

    await eventually(answers, within_ms=20_000)


async def test_a_server_that_is_not_there_and_tools_that_are_left_out(closing: Closing) -> None:
    factory = McpToolsFactory(
        [
            McpStdioServer(name="gone", command="/no/such/program", timings=FAST),
            stdio(name="a", only_tools=("add", "die"), without_tools=("die",)),
            stdio(name="b", tool_prefix="x-"),
        ]
    )
    closing(factory)
    session = PluginHost([factory]).build_session("s")
    faults = await factory.ready()
    session.tools.refresh_sources()
    assert "No such file" in (faults["gone"] or "")
    assert (None, None) == (faults["a"], faults["b"])
    names = {manifest.name for manifest in session.tools.catalog()}
    assert {"a_add", "x-add", "x-die"} <= names
    assert "a_die" not in names
    found = await run(session, "x-pid")
    factory.close()
    factory.close()
    assert isinstance(found, ToolSuccess)
    with pytest.raises(ProcessLookupError):
        os.kill(found.value["result"], 0)


async def test_servers_that_never_speak_cost_their_time_limit(closing: Closing) -> None:
    hung = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    fast = McpTimings(connect_timeout_ms=500, reconnect_min_ms=60_000, reconnect_max_ms=60_000)
    async with (
        await asyncio.start_server(silent, "127.0.0.1") as one,
        await asyncio.start_server(garbage, "127.0.0.1") as two,
    ):
        urls = [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp" for server in (one, two)]
        factory = McpToolsFactory(
            [
                *(McpHttpServer(name=f"http{n}", url=url, timings=fast) for n, url in enumerate(urls)),
                McpHttpServer(name="refused", url="http://127.0.0.1:1/mcp", timings=fast),
                McpStdioServer(name="exits", command="true", timings=fast),
            ]
        )
        closing(factory)
        began = time.monotonic()
        session = await session_of(factory)
        faults = await factory.ready()
        assert time.monotonic() - began < 5
        assert dict.fromkeys(("http0", "http1", "refused", "exits"), True) == {
            name: bool(fault) for name, fault in faults.items()
        }
        assert () == session.tools.catalog()
        factory.close()
        hung.set()


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: McpStdioServer(name="a b", command="x"), "name"),
        (lambda: McpStdioServer(name="a", command=""), "command"),
        (lambda: McpHttpServer(name="a", url="ftp://x"), "url"),
        (lambda: McpHttpServer(name="a", url="http://u:p@x/mcp"), "url"),
        (lambda: McpTimings(reconnect_min_ms=100, reconnect_max_ms=50), "reconnect_min_ms"),
    ],
)
def test_bad_settings_are_named(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field) as refused:
        make()
    assert "u:p" not in str(refused.value)


def test_two_servers_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="two MCP servers"):
        McpToolsFactory([stdio(), stdio()])
