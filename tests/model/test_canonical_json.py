"""Canonical JSON: one text for one value (DESIGN 8)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import InvalidJsonError
from lash_core.model.canonical_json import DEPTH_MAX, canonical_json, canonical_json_bytes, sha256_hex
from tests.model.strategies import json_values, texts


@given(json_values)
def test_it_reads_back(value: Any) -> None:
    """The text is JSON of the same value."""
    assert value == json.loads(canonical_json(value))


@given(st.dictionaries(texts, json_values, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: dict[str, Any], order: random.Random) -> None:
    """Two objects with the same members have the same text and the same hash."""
    items = list(value.items())
    order.shuffle(items)

    assert canonical_json(value) == canonical_json(dict(items))
    assert sha256_hex(value) == sha256_hex(dict(items))


@given(json_values)
def test_it_is_stable(value: Any) -> None:
    """Encoding what was decoded gives the same bytes."""
    text = canonical_json(value)

    assert text == canonical_json(json.loads(text))


def test_the_form() -> None:
    """Sorted keys, no white space, text as it is, UTF-8."""
    assert '{"a":[1,true,null],"ü":"é"}' == canonical_json({"ü": "é", "a": (1, True, None)})
    assert '"é"'.encode() == canonical_json_bytes("é")


def test_kinds_of_numbers_differ() -> None:
    """1, 1.0 and true are three values."""
    assert 3 == len({canonical_json(1), canonical_json(1.0), canonical_json(True)})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, float("nan")]}, "value.a[1]"),
        ({"a": float("inf")}, "value.a"),
        ({"a": {"b": float("-inf")}}, "value.a.b"),
        (["\ud800"], "value[0]"),
        ({"\udfff": 1}, "value"),
        ({"a": {1: 2}}, "value.a"),
        ({"a": {1, 2}}, "value.a"),
        (b"bytes", "value"),
        ([object()], "value[0]"),
    ],
)
def test_what_is_not_json_is_refused_with_its_path(value: Any, path: str) -> None:
    """The error's field is the place of the fault."""
    with pytest.raises(InvalidJsonError) as refusal:
        canonical_json(value)

    assert path == refusal.value.field


def test_depth_is_bounded() -> None:
    """A value nested one level deeper than the limit is refused."""
    value: Any = 0
    for _ in range(DEPTH_MAX):
        value = [value]

    assert canonical_json(value)
    with pytest.raises(InvalidJsonError):
        canonical_json([value])
