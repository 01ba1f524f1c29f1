"""Envelope hashes and digest trees."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import InvalidJsonError
from lash_core.model.await_event import AwaitEventKey, WaitIdentity
from lash_core.model.effect import EffectKind
from lash_core.model.effect_digest import NAMES_MAX, PATHS_MAX, Divergence, digest_tree, diverging, envelope_hash
from lash_core.model.execution_scope import ExecutionScope
from tests.runtime.effect_kit import envelope, step

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def sleep(duration_ms: int) -> Any:
    return envelope(EffectKind.SLEEP, "sleep:1", duration_ms=duration_ms)


def test_a_changed_argument_is_named_by_its_path() -> None:
    """The path that the contract quotes."""
    assert Divergence(1, ("command.duration_ms",)) == diverging(digest_tree(sleep(10)), sleep(20))


def test_equal_envelopes_differ_nowhere() -> None:
    """Whatever the order in which their arguments were given."""
    one, other = step(x=1, y=[1, {"z": 2}]), step(y=[1, {"z": 2}], x=1)

    assert envelope_hash(one) == envelope_hash(other)
    assert Divergence(0, ()) == diverging(digest_tree(one), other)


def test_paths_that_are_gone_are_counted_and_new_ones_named() -> None:
    """A digest says that a path was there, not which one."""
    assert Divergence(1, ()) == diverging(digest_tree(step(x=1, y=2)), step(x=1))
    assert Divergence(1, ("command.y[0].z",)) == diverging(digest_tree(step(x=1)), step(x=1, y=[{"z": 2}]))


def test_at_most_eight_paths_are_named() -> None:
    """All are counted."""
    found = diverging(digest_tree(step(values=list(range(20)))), step(values=list(range(1, 21))))

    assert (20, NAMES_MAX) == (found.count, len(found.paths))


def test_a_tree_stays_small() -> None:
    """What lies beyond its bound is one path."""
    long, other = step(values=list(range(500))), step(values=[*range(499), "last"])

    assert len(digest_tree(long)) <= PATHS_MAX * 8 * 4 // 3 + 4
    assert Divergence(1, ("(more)",)) == diverging(digest_tree(long), other)


def test_a_damaged_tree_is_no_second_error() -> None:
    """Everything differs from it."""
    assert diverging("no base64!", step()).count > 0


def test_the_signature_of_a_key_is_not_part_of_an_effect() -> None:
    """A rotated secret must not stop a process that waits."""
    first, second = (
        envelope(
            EffectKind.AWAIT_EVENT,
            key=AwaitEventKey.mint(ExecutionScope.process("p"), WaitIdentity.custom("go"), secret).to_json_value(),
        )
        for secret in (b"1" * 32, b"2" * 32)
    )

    assert first != second
    assert envelope_hash(first) == envelope_hash(second)


@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2}])
def test_arguments_that_are_no_json_are_refused(value: Any) -> None:
    """With their path."""
    with pytest.raises(InvalidJsonError, match=r"envelope\.command\.x"):
        envelope_hash(step(x=value))


@given(JSON, JSON)
def test_hashes_are_equal_exactly_when_the_values_are(one: Any, other: Any) -> None:
    """And then the trees differ nowhere."""
    first, second = step(x=one), step(x=other)
    same = repr(one) == repr(other) or _canonical(one) == _canonical(other)

    assert same == (envelope_hash(first) == envelope_hash(second))
    if not same:
        assert diverging(digest_tree(first), second).count > 0


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_a_hash_costs_little() -> None:
    """A replay makes one for each of its steps; the bound leaves room for a slow machine."""
    asked = step(args=["order-1", 120], kwargs={"currency": "EUR"})
    best = min(_seconds(asked) for _ in range(5))

    assert best < 100e-6


def _seconds(asked: Any) -> float:
    began = time.perf_counter()
    for _ in range(200):
        envelope_hash(asked)
    return (time.perf_counter() - began) / 200
