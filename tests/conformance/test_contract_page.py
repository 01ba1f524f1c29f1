"""docs/contracts/processes.md and the suite name the same things."""

from __future__ import annotations

import re
from pathlib import Path

from lash_core.store.process_registry import ProcessRegistry
from lash_core.testing.conformance.process_registry import cases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contracts" / "processes.md").read_text()
MUTATIONS = (ROOT / "docs" / "adr" / "0050-a-case-counts-when-a-broken-store-fails-it.md").read_text()


def test_the_page_names_every_module_of_the_suite() -> None:
    """Whoever reads a rule finds where it is checked."""
    modules = {name.partition(".")[0] for name, _ in cases()}

    assert set() == {module for module in modules if not re.search(rf"\b{module}\b", PAGE)}


def test_the_page_names_every_operation() -> None:
    """No operation of the registry is without a rule."""
    operations = {name for name in vars(ProcessRegistry) if not name.startswith("_")}

    assert set() == {name for name in operations if not re.search(rf"\b{name}\b", PAGE)}


def test_the_cases_that_the_mutations_name_exist() -> None:
    """The record of what was broken names cases by their present names."""
    names = {name for name, _ in cases()}
    cited = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", MUTATIONS))

    assert set() == cited - names
