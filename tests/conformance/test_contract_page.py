"""The pages of the contract and the suites name the same things."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

from lash_core.store.effect_journal import EffectJournal
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.process_run_waits import ProcessRunWaits
from lash_core.store.promise_store import PromiseStore
from lash_core.store.queued_work_store import QueuedWorkStore
from lash_core.store.ready_sessions import ReadySessions
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory
from lash_core.store.session_execution_lease import SessionExecutionLeases
from lash_core.store.turn_input_store import TurnInputStore
from lash_core.store.turn_journal import TurnJournal
from lash_core.testing.conformance import (
    await_events,
    effect_host,
    effect_journal,
    queued_work,
    ready_sessions,
    run_waits,
    session_factory,
    session_lease,
    session_persistence,
    turn_inputs,
    turn_journal,
)
from lash_core.testing.conformance.process_registry import cases

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contracts" / "processes.md").read_text()
EFFECTS = (ROOT / "docs" / "contracts" / "effects.md").read_text()
SESSIONS = (ROOT / "docs" / "contracts" / "sessions.md").read_text()
SESSION_SUITES = (
    queued_work,
    ready_sessions,
    session_factory,
    session_lease,
    session_persistence,
    turn_inputs,
    turn_journal,
)
SESSION_CONTRACTS = (
    SessionExecutionLeases,
    QueuedWorkStore,
    TurnInputStore,
    TurnJournal,
    RuntimePersistence,
    SessionStoreFactory,
    ReadySessions,
)
UNSAID = {"session_id", "durability_tier"}
"""What every store has."""
SUITES = (await_events, effect_host, effect_journal, run_waits)


def test_the_page_names_every_module_of_the_suite() -> None:
    """Whoever reads a rule finds where it is checked."""
    modules = {name.partition(".")[0] for name, _ in cases()}

    assert set() == _unnamed(modules, PAGE)


def test_the_page_names_every_operation() -> None:
    """No operation of the registry is without a rule."""
    operations = {name for name in vars(ProcessRegistry) if not name.startswith("_")}

    assert set() == _unnamed(operations, PAGE)


@pytest.mark.parametrize("suite", SUITES)
def test_the_page_of_effects_names_every_module(suite: ModuleType) -> None:
    """Whoever reads a rule finds where it is checked."""
    modules = {name.partition(".")[0] for name, _ in suite.cases()}

    assert set() == _unnamed(modules, EFFECTS)


@pytest.mark.parametrize("contract", [EffectJournal, PromiseStore, ProcessRunWaits])
def test_the_page_of_effects_names_every_operation(contract: type[object]) -> None:
    """No operation of journals, promises and waits is without a rule."""
    assert set() == _unnamed((name for name in vars(contract) if not name.startswith("_")), EFFECTS)


@pytest.mark.parametrize("suite", SESSION_SUITES)
def test_the_page_of_sessions_names_every_suite(suite: ModuleType) -> None:
    """Whoever reads a rule finds where it is checked."""
    assert set() == _unnamed([suite.__name__.rpartition(".")[2]], SESSIONS)


@pytest.mark.parametrize("contract", SESSION_CONTRACTS)
def test_the_page_of_sessions_names_every_operation(contract: type[object]) -> None:
    """No operation of a session's store is without a rule."""
    operations = {name for name in vars(contract) if not name.startswith("_")} - UNSAID

    assert set() == _unnamed(operations, SESSIONS)


def test_the_cases_that_the_mutations_name_exist() -> None:
    """The records of what was broken name cases by their present names."""
    names = {name for name, _ in cases()}
    assert set() == _cited("0050-a-case-counts-when-a-broken-store-fails-it.md") - names

    names = {name for suite in SUITES for name, _ in suite.cases()}
    assert set() == _cited("0100-what-was-broken-to-test-the-suites-of-effects.md") - names

    names = {name for suite in SESSION_SUITES for name, _ in suite.cases()}
    assert set() == _cited("0173-what-was-broken-to-test-the-suites-of-sessions.md") - names


def _cited(record: str) -> set[str]:
    text = (ROOT / "docs" / "adr" / record).read_text()
    return set(re.findall(r"`([a-z_]+\.[a-z_]+)`", text))


def _unnamed(names: Iterable[str], page: str) -> set[str]:
    return {name for name in names if not re.search(rf"\b{name}\b", page)}
