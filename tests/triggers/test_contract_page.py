"""docs/contracts/triggers.md, the suite and the limits name the same things."""

from __future__ import annotations

import re
from pathlib import Path

from lash_core.model.trigger_limits import TriggerLimits
from lash_core.testing.conformance.trigger_store import cases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contracts" / "triggers.md").read_text()


def test_the_page_names_every_module_of_the_suite() -> None:
    """Whoever reads a rule finds where it is checked."""
    modules = {name.partition(".")[0] for name, _ in cases()}

    assert set() == {module for module in modules if f"({module})" not in PAGE}


def test_the_bounds_of_the_page_are_those_of_the_model() -> None:
    """A table that nothing checks would become false."""
    limits = TriggerLimits()
    rows = dict(re.findall(r"(?m)^\| ([^|]+?) \| ([^|]+?) \| [^|]+ \|$", PAGE.partition("## 6")[2]))

    assert f"{limits.subscriptions_max:,}" in rows["subscriptions of a namespace"]
    assert f"{limits.source_subscriptions_max:,}" == rows["live subscriptions of a source"]
    assert f"{limits.occurrences_max:,} and {limits.occurrence_bytes_max >> 20} MB" == rows["occurrences kept"]
    assert f"{limits.unstarted_max:,}, and {limits.unstarted_bytes_max >> 20} MB" in rows["waiting deliveries"]
    assert f"{limits.receipts_max:,} and {limits.receipt_bytes_max >> 20} MB" == rows["receipts"]
