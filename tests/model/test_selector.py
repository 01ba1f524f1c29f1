"""Selectors (contract 1.5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import SelectorError
from lash_core.model.selector import Selector, is_truthy, select, stringify
from tests.model.strategies import json_values, texts

DOCUMENT: dict[str, Any] = {"a": {"b/c": [10, {"~": "t"}]}, "": 0, "null": None, "list": ["x"]}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/a/b~1c/0", 10),
        ("/a/b~1c/1/~0", "t"),
        ("/", 0),
        ("/null", None),
        ("/list/0", "x"),
    ],
)
def test_pointers_find_values(pointer: str, value: Any) -> None:
    """RFC 6901, escapes and empty names included; null is a value."""
    assert value == select(Selector.pointer(pointer), DOCUMENT)
    assert select(Selector.present(pointer), DOCUMENT) is True


@pytest.mark.parametrize(
    "pointer",
    ["/b", "/a/b", "/list/1", "/list/01", "/list/-", "/list/-1", "a", "/null/x", "/list/²", "/list/" + "9" * 5000],
)
def test_pointers_that_do_not_match_are_errors(pointer: str) -> None:
    """The text names the pointer; ``present`` says false instead."""
    with pytest.raises(SelectorError, match=r"payload pointer .* did not match"):
        select(Selector.pointer(pointer), DOCUMENT)
    assert select(Selector.present(pointer), DOCUMENT) is False


@given(st.dictionaries(texts, json_values, max_size=5))
def test_every_member_has_a_pointer(value: dict[str, Any]) -> None:
    """An escaped name finds its member, whatever the name is."""
    for name, member in value.items():
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        assert member == select(Selector.pointer(pointer), value)


@given(json_values)
def test_payload_and_const(value: Any) -> None:
    """``payload`` is the whole payload, ``const`` ignores it."""
    assert value == select(Selector.payload(), value)
    assert value == select(Selector.const(value), {"other": 1})


def test_templates_take_stringified_fields() -> None:
    """Every occurrence is replaced; text as it is, the rest as compact JSON; unknown braces stay."""
    template = Selector.template(
        "{who}/{who}: {what} {other}", {"who": Selector.pointer("/who"), "what": Selector.pointer("/what")}
    )

    assert 'ops/ops: {"n":1} {other}' == select(template, {"who": "ops", "what": {"n": 1}})


def test_templates_do_not_expand_what_they_inserted() -> None:
    """A value that looks like a field of the template stays text."""
    template = Selector.template("{a}{b}", {"a": Selector.pointer("/a"), "b": Selector.pointer("/b")})

    assert "{b}x" == select(template, {"a": "{b}", "b": "x"})


def test_a_template_field_that_does_not_match_is_an_error() -> None:
    """The append fails then."""
    with pytest.raises(SelectorError, match="did not match"):
        select(Selector.template("{a}", {"a": Selector.pointer("/a")}), {})


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (1, "1"), (None, "null"), (True, "true"), ({"b": 1, "a": "é"}, '{"a":"é","b":1}')]
)
def test_stringify(value: Any, text: str) -> None:
    """A string as itself, anything else as compact JSON."""
    assert text == stringify(value)


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (None, False),
        (False, False),
        (True, True),
        ("", False),
        ("x", True),
        ([], False),
        ([0], True),
        ({}, False),
        ({"a": 0}, True),
        (0, True),
        (0.0, True),
        (-1, True),
    ],
)
def test_truth(value: Any, truth: bool) -> None:
    """Every number is true, 0 too; empty text, arrays and objects are false."""
    assert truth is is_truthy(value)
