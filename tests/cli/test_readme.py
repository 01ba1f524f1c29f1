"""The README is true: its commands exist, its exit codes are those of the code, its ten lines work as printed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from lash_core.model.message import ToolCallPart, ToolResultPart
from lash_core.model.model_call import ModelRequest
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.protocols.providers.pydantic_ai import PydanticAiProvider
from lash_core.runtime.process.context import ProcessContext
from lash_core.settings import ENVIRONMENT
from lash_core.testing.scripted_provider import ScriptedProvider, ScriptedReply, calls_tools, says
from lash_core.testing.waiting import eventually, eventually_sync
from lash_worker import App
from lash_worker.cli import exit_codes
from lash_worker.cli.main import cli

if TYPE_CHECKING:
    from lash_worker.testing import RunApps

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def command_at(words: list[str]) -> click.Command:
    """The command that these words lead to. Raises: click.UsageError."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group), words
        found = command.get_command(click.Context(command), word)
        assert found is not None, words
        command = found
    return command


def test_every_command_that_is_named_exists() -> None:
    """Also each of the alternatives in ``lash process a | b``."""
    listed = README.split("## The command line")[1].split("Every view")[0]
    names = re.findall(r"`lash ([^`]+)`", listed)

    assert len(names) > 10
    for name in names:
        noun, *verbs = name.replace(" | ", " ").split()
        for verb in [word for word in verbs if word.islower()] or [""]:
            assert command_at([noun, verb] if verb else [noun])


def test_every_option_in_a_command_block_exists() -> None:
    """A line that is copied works."""
    for line in "".join(blocks("sh")).splitlines():
        words = line.partition("#")[0].split()
        if words[:1] != ["lash"]:
            continue
        path = words[1:3] if isinstance(command_at(words[1:2]), click.Group) else words[1:2]
        known = {name for option in command_at(path).params for name in option.opts}
        assert set() == {word for word in words if word.startswith("--")} - known


def test_the_exit_codes_are_those_of_the_code() -> None:
    """One row for each, in order."""
    rows = re.findall(r"^\| (\d) \| ", README.split("| exit code |")[1], re.MULTILINE)

    codes = sorted(value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int))
    assert codes == [int(row) for row in rows]


async def test_the_agent_works_as_printed(lash_app: RunApps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its model is another one."""
    source = next(block for block in blocks("python") if block.startswith("# shop.py"))
    asks = calls_tools(ToolCallPart(call_id="c", tool_name="price", args={"item": "mug"}))

    def model(request: ModelRequest) -> ScriptedReply:
        [*_, last] = request.messages[-1].parts
        return says(f"it is {last.output}") if isinstance(last, ToolResultPart) else asks

    def scripted(provider_id: str, url: str) -> ScriptedProvider:
        assert "http://127.0.0.1:11434/v1" == url
        return ScriptedProvider(model, provider_id=provider_id)

    monkeypatch.setattr(PydanticAiProvider, "openai_compatible", scripted)
    shop: dict[str, Any] = {}
    exec(source, shop)
    async with lash_app(shop["app"]) as lash:
        answer = await (await lash.session("anna").send("What is a mug?")).answer(10)
    assert answer.final_text is not None
    assert "900" in answer.final_text


async def test_work_beside_the_turns_works_as_printed(lash_app: RunApps) -> None:
    """A tool answers a handle at once; the model awaits what stands behind it. Only the command is another one."""
    source = next(block for block in blocks("python") if block.startswith("# clerk.py"))

    def model(request: ModelRequest) -> ScriptedReply:
        [*_, last] = request.messages[-1].parts
        if not isinstance(last, ToolResultPart):
            return calls_tools(ToolCallPart(call_id="c", tool_name="render", args={"month": "2026-10"}))
        output: Any = last.output
        if last.tool_name == "render":
            return calls_tools(ToolCallPart(call_id="d", tool_name="await_task", args={"handle": output["value"]}))
        return says(f"it is in {output['value']['file']}")

    clerk: dict[str, Any] = {}
    exec(source.replace("./watch-ci.sh", "true"), clerk)
    policy = SessionPolicy(model=ModelSpec("m"), provider_id="scripted")
    declared = clerk["app"].declared_sessions
    clerk["app"].declared_sessions = replace(declared, policy=policy, make_providers=lambda: (ScriptedProvider(model),))
    async with lash_app(clerk["app"]) as lash:
        answer = await (await lash.session("anna").send("Render October.")).answer(10)
    assert "it is in 2026-10.pdf" == answer.final_text


async def test_a_watch_works_as_printed(lash_app: RunApps, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows what the history says in the end, and would go on for ever."""
    source = next(block for block in blocks("python") if "WatchedSession()" in block)
    app = App("shop", version="1")
    policy = SessionPolicy(model=ModelSpec("m"), provider_id="scripted")
    app.sessions(policy=policy, providers=[ScriptedProvider(lambda _: says("a mug"))])
    names: dict[str, Any] = {}
    exec(f"async def watch(lash):\n{textwrap.indent(source, '    ')}", names)
    async with lash_app(app) as lash:
        await (await lash.session("anna").send("What is it?")).answer(10)
        watching = asyncio.create_task(names["watch"](lash))
        shown = ""

        def has_shown() -> bool:
            nonlocal shown
            shown += capsys.readouterr().out
            return "2 messages; now: \n" in shown

        await eventually(has_shown, within_ms=10_000)
        watching.cancel()
        await asyncio.wait([watching])


async def test_the_steps_work_as_printed(lash_app: RunApps) -> None:
    """Parked at every wait: each line outside of steps runs again, and no step does."""
    app, calls = App("reports", version="1"), list[str]()

    def write_draft(month: str) -> dict[str, list[str]]:
        calls.append("write")
        return {"months": [month, "2026-09"]}

    def send_mail(_built: list[Any], _key: str) -> None:
        calls.append("send")

    @app.process("report.build", disposition="rerunnable")
    async def build(ctx: ProcessContext, params: dict[str, str]) -> str:
        return params["month"]

    names = {"app": app, "write_draft": write_draft, "send_mail": send_mail}
    exec(blocks("python")[2].replace("60_000", "1"), names)

    async with lash_app(app, park_after_ms=0) as lash:
        handle = await lash.enqueue("report.publish", {"month": "2026-10"}, process_id="r-11")
        await handle.signal("approve", {"by": "ops"})
        assert await handle.result(timeout=30) == {"published": True, "by": "ops"}
    assert calls == ["write", "send"]


def test_every_variable_exists() -> None:
    """Those of the settings and of the worker's options."""
    known = {name for name, _, _ in ENVIRONMENT}
    for option in command_at(["worker", "run"]).params:
        known |= {option.envvar} if isinstance(option.envvar, str) else set(option.envvar or ())

    assert set() == set(re.findall(r"LASH_[A-Z_]+", README)) - known


@pytest.mark.faults
def test_the_ten_lines_work_as_printed(tmp_path: Path) -> None:
    """The app, each command line and the client, in an empty folder without a server."""
    app, client = blocks("python")[:2]
    (tmp_path / "reports.py").write_text(app)
    (tmp_path / "read.py").write_text(
        f"import asyncio\nasync def main():\n{textwrap.indent(client, '    ')}\nasyncio.run(main())\n"
    )
    lines = [line.partition("#")[0].strip() for line in blocks("sh")[1].splitlines()]
    dev, *others = [line for line in lines if line.startswith("lash ")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LASH_")}
    env = {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def sh(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line, check=False, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60
        )

    with subprocess.Popen(dev.split(), cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as running:
        try:
            eventually_sync(lambda: "report.build" in sh("lash kinds ls --json").stdout, within_ms=30_000)
            ended = [sh(line) for line in [*others, "python read.py"]]
        finally:
            running.send_signal(signal.SIGINT)
            running.wait(30)

    assert [0] * len(ended) == [one.returncode for one in ended], ended
    enqueued, result, why, read = (one.stdout for one in ended)
    assert "created r-10" in enqueued
    assert '"month": "2026-10"' in result
    assert "completed" in why
    assert "{'attempt': 1, 'month': '2026-10'}" in read
