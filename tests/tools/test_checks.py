"""The project's own checks catch what they are for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.check_lua_headers import FOLDER, faults_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "claim_ready_processes.lua"


@pytest.mark.parametrize(
    ("pattern", "replacement", "fault"),
    [
        (r"(?m)^-- ARGV\[1\].*\n", "", "ARGV slots of the header have a hole"),
        (r"(?m)^-- RETURNS", "-- ANSWERS", "no RETURNS line"),
        (r"(?m)^-- INVARIANT", "-- NOTE", "no INVARIANT line"),
        (r"(?m)^-- CLOCK", "-- TIME", "no CLOCK line"),
    ],
)
def test_a_header_that_lies_is_found(tmp_path: Path, pattern: str, replacement: str, fault: str) -> None:
    """Dropping or renaming a header line is a fault."""
    copy = tmp_path / SCRIPT
    copy.write_text(re.sub(pattern, replacement, (FOLDER / SCRIPT).read_text()))

    assert fault in faults_of(copy)


def test_a_command_over_its_budget_fails() -> None:
    """``within.py`` fails a command that passes too slowly and hands on the code of one that fails."""
    within = [sys.executable, str(ROOT / "tools" / "within.py")]
    slow = [*within, "0.2", "slow", "--", sys.executable, "-c", "import time; time.sleep(0.25)"]
    wrong = [*within, "30", "wrong", "--", sys.executable, "-c", "raise SystemExit(7)"]

    assert 1 == subprocess.run(slow, check=False, capture_output=True).returncode
    assert 7 == subprocess.run(wrong, check=False, capture_output=True).returncode


def test_file_names_in_the_documents_exist() -> None:
    """Every path that a document names in backticks is there."""
    missing: list[str] = []
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for name in re.findall(
            r"`((?:lash_core|lash_worker|deploy|docs|tools|tests|benchmarks|examples)/[\w./-]+)`", document.read_text()
        ):
            if not list(ROOT.glob(name.rstrip("/") + "*")):
                missing.append(f"{document.name}: {name}")

    assert [] == missing
