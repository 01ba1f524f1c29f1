"""Ids, queues, namespaces, signal names (DESIGN 3.1, contract 1.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import InvalidArgumentError
from lash_core.model.ids import (
    LEASE_TTL_MS_MAX,
    check_id,
    check_lease_ttl,
    check_namespace,
    check_queue,
    check_replay_key,
    check_signal_name,
    signal_event_type,
)


@pytest.mark.parametrize("value", ["a", "orders/2026/17", "a:b", "{x}", "é" * 100, "a b", "x" * 200, "\u200bx"])
def test_anything_else_is_legal(value: str) -> None:
    """Only what the rule names is refused."""
    assert value == check_id(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", "process id must be a non-empty string"),
        ("   ", "process id must be a non-empty string"),
        (None, "process id must be a non-empty string"),
        (7, "process id must be a non-empty string"),
        ("a#1", "reserved segment separator `#`"),
        (" a", "white space"),
        ("a\u00a0", "white space"),
        ("a\nb", "control characters"),
        ("a\x00b", "control characters"),
        ("a\x85b", "control characters"),
        ("x" * 201, "201 bytes; the limit is 200"),
        ("é" * 101, "202 bytes; the limit is 200"),
        ("a\ud800", "lone surrogates"),
    ],
)
def test_illegal_ids_are_named(value: object, text: str) -> None:
    """Each fault has its own text; the error carries field and value."""
    with pytest.raises(InvalidArgumentError, match=text) as refusal:
        check_id(value)

    assert "process_id" == refusal.value.field


@given(st.text(max_size=220))
def test_a_legal_id_keeps_the_rule(value: str) -> None:
    """Whatever passes is non-blank, trimmed, at most 200 bytes, without ``#`` and control characters."""
    try:
        check_id(value)
    except InvalidArgumentError:
        return

    assert value.strip() == value
    assert 1 <= len(value.encode()) <= 200
    assert not any(char == "#" or ord(char) < 32 or 127 <= ord(char) < 160 for char in value)


def test_queues() -> None:
    """1 to 64 letters, digits, dots, underscores, dashes."""
    assert "a.B_9-" == check_queue("a.B_9-")
    for value in ("", "a b", "a:b", "q" * 65, "é"):
        with pytest.raises(InvalidArgumentError):
            check_queue(value)


def test_namespaces() -> None:
    """1 to 32 lower-case letters, digits, dashes."""
    assert "team-1" == check_namespace("team-1")
    for value in ("", "Team", "a_b", "n" * 33, "a\n"):
        with pytest.raises(InvalidArgumentError):
            check_namespace(value)


def test_signal_names() -> None:
    """ASCII letters, digits, underscores, dashes; the event type is ``signal.<name>``."""
    assert "signal.go-on_2" == signal_event_type("go-on_2")
    for value in ("", "a.b", "a b", "é", "x" * 129):
        with pytest.raises(InvalidArgumentError):
            check_signal_name(value)


def test_replay_keys_have_a_limit() -> None:
    """512 bytes of UTF-8."""
    assert "k" * 512 == check_replay_key("k" * 512)
    with pytest.raises(InvalidArgumentError, match="514 bytes"):
        check_replay_key("é" * 257)


def test_lease_ttls_have_a_range() -> None:
    """0 gives a lease that is expired at once; negative ones and ones over a week are refused."""
    assert 0 == check_lease_ttl(0)
    for ttl_ms in (-1, LEASE_TTL_MS_MAX + 1):
        with pytest.raises(InvalidArgumentError):
            check_lease_ttl(ttl_ms)
