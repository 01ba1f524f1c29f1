"""Names of tools on the wire are legal and belong to one tool each."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.protocols.providers.tool_names import wire_name


@pytest.mark.parametrize("name", ["search", "a-b_C9", "x" * 64])
def test_a_legal_name_stays(name: str) -> None:
    assert name == wire_name(name)


@given(st.text(max_size=150))
def test_every_name_becomes_legal(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire_name(name))


@given(st.lists(st.text(alphabet="a./_", min_size=1, max_size=70), unique=True, max_size=20))
def test_two_names_stay_two(names: list[str]) -> None:
    assert len(names) == len({wire_name(name) for name in names})
