"""What a script's header says is what its body does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.check_lua_headers import faults_of
from tools.lua_headers import FOLDER

SCRIPTS = sorted(FOLDER.glob("*.lua"))


def test_there_are_scripts() -> None:
    """An empty folder would pass everything below."""
    assert len(SCRIPTS) > 30


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_header_is_true(path: Path) -> None:
    """Name, KEYS, ARGV, RETURNS, INVARIANT and CLOCK are there and are what the body does."""
    assert [] == faults_of(path)
