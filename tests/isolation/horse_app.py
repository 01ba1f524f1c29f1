"""Isolated functions that do what only a process of its own survives. Files tell the test what happened in them."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel

from lash_core.errors import Failure
from lash_core.model.registration import RetryPolicy
from lash_worker import App

app = App("horses", version="3")


class Sum(BaseModel):
    a: int
    b: int


@app.process("sum", disposition="rerunnable", isolation="process")
def add(ctx: Any, params: Sum) -> int:
    ctx.log.info("adding")
    return params.a + params.b


@app.process("facts", disposition="rerunnable", isolation="process")
def facts(ctx: Any) -> dict[str, Any]:
    refused = ""
    try:
        ctx.step("a", print)
    except AttributeError as error:
        refused = str(error)
    return {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "group": os.getpgid(0),
        "process_id": ctx.process_id,
        "attempt": ctx.attempt,
        "fence": ctx.fence,
        "key": ctx.idempotency_key("mail"),
        "labels": ctx.labels,
        "version": ctx.app_version,
        "cancelled": ctx.cancelled,
        "has_step": hasattr(ctx, "step"),
        "refused": refused,
    }


@app.process("fail", disposition="rerunnable", isolation="process")
def fail(ctx: Any, params: str) -> Any:
    match params:
        case "failure":
            raise Failure("external", "no_paper", "the printer is out of paper", {"tray": 2})
        case "exception":
            raise KeyError("x")
        case "exit":
            sys.exit(3)
        case "cancelled":
            raise asyncio.CancelledError
        case "object":
            return object()
        case _:
            return "x" * 300_000


@app.process("die", disposition="rerunnable", isolation="process")
def die(ctx: Any, params: str) -> NoReturn:
    match params:
        case "segfault":
            ctypes.string_at(0)
        case "os_exit":
            os._exit(7)
        case "oom":
            os.kill(os.getpid(), signal.SIGKILL)
        case "term":
            os.kill(os.getpid(), signal.SIGTERM)
        case _:
            os.kill(os.getppid(), signal.SIGKILL)
    while True:
        time.sleep(60)


@app.process("wait", disposition="rerunnable", isolation="process")
def wait(ctx: Any, params: dict[str, Any]) -> str:
    """Runs until it is stopped; ``stubborn`` ones ignore what can be ignored."""
    folder = Path(params["folder"])
    if params.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "600"])
    note(folder / f"{ctx.process_id}.pids", f"{os.getpid()} {child.pid}")
    try:
        while True:
            time.sleep(60)
    except asyncio.CancelledError:
        if params.get("finish"):
            return "finished anyway"
        raise
    finally:
        note(folder / f"{ctx.process_id}.ended", "cleaned up")


@app.process("doze", disposition="rerunnable", isolation="process")
def doze(ctx: Any, params: float) -> float:
    time.sleep(params)
    return params


@app.process("flaky", disposition="rerunnable", isolation="process", retry=RetryPolicy(attempts_max=2, backoff_ms=1))
def flaky(ctx: Any, params: str) -> str:
    """Dies the first time."""
    if not (Path(params) / "died").exists():
        note(Path(params) / "died", "once")
        os._exit(1)
    return "second time"


@app.process("litter", disposition="rerunnable", isolation="process")
def litter(ctx: Any) -> int:
    """Leaves a child behind."""
    return subprocess.Popen(["sleep", "600"]).pid


def note(path: Path, text: str) -> None:
    """Write a file in one step."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.rename(path)


@app.process("plain", disposition="rerunnable")
async def plain(ctx: Any) -> str:
    return "here"


app.rq_process("legacy.report", function="tests.isolation.legacy_jobs:nightly_report", disposition="rerunnable")
app.rq_process("legacy.missing", function="tests.isolation.legacy_jobs:gone", disposition="rerunnable")
app.rq_process("legacy.async", function="tests.isolation.legacy_jobs:fetch", disposition="rerunnable")
