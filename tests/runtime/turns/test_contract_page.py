"""The page of turns, the suite and the code name the same things."""

from __future__ import annotations

from pathlib import Path

import pytest

from lash_core.runtime.turns import cancel_gate, session_commands, turn_checks, turn_commit, turn_given
from lash_core.testing.conformance.turns import cases

PAGE = (Path(__file__).parents[3] / "docs" / "contracts" / "turns.md").read_text()


def test_the_page_names_every_module_of_the_suite() -> None:
    """Whoever reads a rule finds where it is checked."""
    modules = {name.partition(".")[0] for name, _ in cases()}

    assert set() == {name for name in modules if f"`{name}`" not in PAGE}


@pytest.mark.parametrize(
    "code",
    [
        cancel_gate.GATE_UNAVAILABLE,
        turn_checks.SWITCH_LIMIT,
        turn_commit.STORE_COMMIT_FAILED,
        turn_given.TRACE_ID_MISMATCH,
    ],
)
def test_the_page_names_the_codes(code: str) -> None:
    """What a program branches on is explained."""
    assert f"`{code}`" in PAGE


def test_the_page_names_the_ids() -> None:
    """As the code makes them."""
    assert "`c_<batch id>`" in PAGE
    assert "c_b1" == session_commands.command_turn_id("b1")
