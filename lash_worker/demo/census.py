"""The demo's app: a census of Python source files, one process a module.

Counting is a pure function of the file, so the demo can count everything again in one process and compare.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import sysconfig
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lash_core.runtime.process.context import ProcessContext
from lash_worker.app import App

app = App("census", version="1")

PATROL_SECONDS_MAX = 600
"""The patrol ends by itself after ten minutes, should nobody cancel it."""

_parsing = threading.Lock()
"""CPython 3.11 keeps the depth of the tree it builds per interpreter: threads that parse at once fail each other."""


@dataclass(frozen=True)
class ModuleCount:
    """What a module consists of."""

    module: str
    lines: int
    functions: int
    classes: int
    imports: int


class ModuleParams(BaseModel):
    """One source file and the name it is imported by."""

    module: str
    path: str


def count_module(module: str, path: str) -> ModuleCount:
    """Parse a source file and count.

    Raises:
        SyntaxError: the file is not Python.
        OSError: the file cannot be read.
    """
    source = Path(path).read_bytes()
    with _parsing:
        tree = ast.parse(source, filename=path)
    functions = classes = imports = 0
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                functions += 1
            case ast.ClassDef():
                classes += 1
            case ast.Import() | ast.ImportFrom():
                imports += 1
            case _:
                pass
    return ModuleCount(module, source.count(b"\n"), functions, classes, imports)


@app.process("census.module", disposition="rerunnable")
def census_module(ctx: ProcessContext, params: ModuleParams) -> dict[str, Any]:
    """Count one module; the answer names the fence it was written under."""
    return {**asdict(count_module(params.module, params.path)), "fence": ctx.fence}


@app.process("census.patrol", disposition="rerunnable")
async def census_patrol(_ctx: ProcessContext) -> str:
    """Walk up and down until somebody cancels it."""
    await asyncio.sleep(PATROL_SECONDS_MAX)
    return "nobody cancelled the patrol"


def standard_library() -> list[ModuleParams]:
    """Every module of this Python's standard library that has source, but for its own test suites."""
    root = Path(sysconfig.get_paths()["stdlib"])
    modules: list[ModuleParams] = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] not in sys.stdlib_module_names or any(_is_left_out(part) for part in parts):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules.append(ModuleParams(module=name, path=str(path)))
    return modules


def _is_left_out(part: str) -> bool:
    # Test suites keep files that are broken on purpose; site-packages is not the standard library.
    return part in {"test", "tests", "idle_test", "site-packages", "__pycache__"}
