"""What a script's header says is what its body does."""

from __future__ import annotations

import pytest

from tests.redis_contract.lua_headers import Script, all_scripts

SCRIPTS = all_scripts()


@pytest.fixture(params=SCRIPTS, ids=lambda script: script.name)
def script(request: pytest.FixtureRequest) -> Script:
    """Each script."""
    return request.param


def test_there_are_scripts() -> None:
    """An empty folder would pass everything below."""
    assert len(SCRIPTS) > 30


def test_the_first_line_names_the_verb(script: Script) -> None:
    """The file's name is the verb, and a sentence says what it does."""
    assert script.header.startswith(f"-- {script.name}: ")


@pytest.mark.parametrize("kind", ["KEYS", "ARGV"])
def test_slots_are_dense_and_those_used_are_declared(script: Script, kind: str) -> None:
    """No hole in the list, and no slot used that the header does not name."""
    highest, open_ended = script.declared(kind)
    numbered = script.numbered(kind)

    assert set(range(1, highest + (0 if open_ended else 1))) == numbered
    assert open_ended or max(script.used(kind), default=0) <= highest


def test_every_argument_is_used(script: Script) -> None:
    """A declared argument that nothing reads is a lie."""
    assert set() == script.numbered("ARGV") - script.used("ARGV")


def test_every_promised_word_is_in_the_body(script: Script) -> None:
    """RETURNS names no answer that the script cannot give."""
    text = script.body + script.included

    assert [] == [
        words for words in script.promised if not any(f"'{word}{end}" in text for word in words for end in "' ")
    ]


def test_every_answer_is_promised(script: Script) -> None:
    """The script gives no answer that RETURNS does not name."""
    assert set() == {word for word in script.returned_words if word not in script.returns.split()}


def test_the_header_says_what_holds_and_whose_clock(script: Script) -> None:
    """INVARIANT and CLOCK lines are there, and CLOCK says whether the clock is read."""
    assert "-- INVARIANT " in script.header
    text = script.body + script.included
    reads_clock = "now_ms" in text or "now_us" in text
    assert reads_clock == ("-- CLOCK not used" not in script.header)
