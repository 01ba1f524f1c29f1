"""Token usage: ledgers, reports, differences (``docs/contracts/sessions.md`` 1.15)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import InvalidArgumentError
from lash_core.model.usage import TokenLedgerEntry, TokenUsage, ledger_diff, merge_ledger, usage_report

COUNTS = st.integers(0, 5)
ENTRIES = st.lists(
    st.builds(
        TokenLedgerEntry,
        st.sampled_from(("turn", "sub")),
        st.sampled_from(("m", "n")),
        st.builds(TokenUsage, input=COUNTS, output=COUNTS, cache_read=COUNTS),
    ),
    max_size=8,
)


def test_an_entry_of_nothing_is_left_out() -> None:
    """One with only cached tokens is something."""
    cached = TokenLedgerEntry("turn", "m", TokenUsage(cache_read=1))

    assert (cached,) == merge_ledger((TokenLedgerEntry("turn", "n"), cached))


@given(ENTRIES)
def test_merging_keeps_the_sums(entries: list[TokenLedgerEntry]) -> None:
    """One entry per source and model; merging again changes nothing."""
    merged = merge_ledger(entries)

    assert len(merged) == len({(entry.source, entry.model) for entry in merged})
    assert sum((entry.usage for entry in entries), TokenUsage()) == sum((one.usage for one in merged), TokenUsage())
    assert merged == merge_ledger(merged)


@given(ENTRIES)
def test_a_report_adds_up(entries: list[TokenLedgerEntry]) -> None:
    """By source, by model and by both; its keys are sorted."""
    report = usage_report(entries)

    for part in (report.by_source, report.by_model):
        assert report.usage == sum(part.values(), TokenUsage())
        assert sorted(part) == list(part)
    both = [usage for models in report.by_source_model.values() for usage in models.values()]
    assert report.usage == sum(both, TokenUsage())
    assert report.entry_count == len(both)


@given(ENTRIES, ENTRIES)
def test_a_difference_is_what_came_after(earlier: list[TokenLedgerEntry], more: list[TokenLedgerEntry]) -> None:
    """Without entries that did not change."""
    assert usage_report(more) == usage_report(ledger_diff([*earlier, *more], earlier))


def test_a_counter_that_fell_is_an_error() -> None:
    """It names the counter and both values; an entry that is gone fell to nothing."""
    before = [TokenLedgerEntry("turn", "m", TokenUsage(output=5))]
    for after in ([TokenLedgerEntry("turn", "m", TokenUsage(output=3))], []):
        with pytest.raises(InvalidArgumentError, match="output"):
            ledger_diff(after, before)
