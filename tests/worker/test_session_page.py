"""docs/contracts/session_fleet.md and the code name the same things."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from lash_core.runtime.session import turn_process as session_turn_process
from lash_core.session_metrics import SessionMetrics
from lash_core.store.ready_sessions import DEATH_WAITS_MS
from lash_worker.services import session_drainer, session_run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contracts" / "session_fleet.md").read_text()


def test_the_page_names_every_metric() -> None:
    """And no other one."""
    registry = CollectorRegistry()
    SessionMetrics(registry)
    there = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    named = set(re.findall(r"(?m)^\| `(lash_[a-z_]+)", PAGE))

    assert there == named


def test_the_page_names_every_failure_code_of_a_session_turn() -> None:
    """Three codes and a message."""
    codes = (
        session_turn_process.CREATE_FAILED,
        session_turn_process.SCOPE_FAILED,
        session_turn_process.TURN_FAILED,
        session_turn_process.TURN_CANCELLED,
    )
    assert [] == [code for code in codes if f"`{code}`" not in PAGE]


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    """Sweeps, turns of a claim, delays."""
    text = " ".join(PAGE.split())
    own, foreign = session_drainer.OWN_SWEEP_MS / 1_000, session_drainer.FOREIGN_SWEEP_MS / 1_000
    assert f"every {own:g} s in partitions in which it is first, every {foreign:g} s in all" in text
    assert f"at most {session_run.TURNS_PER_CLAIM_MAX} of one claim" in text
    first, last = session_run.DECLINE_DELAY_MS, session_run.DECLINE_DELAY_MAX_MS // 1_000
    assert f"for {first} ms at first, doubling to {last} s" in text
    waits = ", ".join(str(wait // 1_000) for wait in DEATH_WAITS_MS)
    assert f"make the session wait {waits} s" in text
