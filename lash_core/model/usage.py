"""Token usage: counters, ledgers by source and model, reports (``docs/contracts/sessions.md`` 1.15). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import Field

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import Model

COUNTERS = ("input", "output", "cache_read", "cache_write", "reasoning")


class TokenUsage(Model):
    """Counters in tokens."""

    input: int = Field(default=0, ge=0)
    output: int = Field(default=0, ge=0)
    cache_read: int = Field(default=0, ge=0)
    cache_write: int = Field(default=0, ge=0)
    reasoning: int = Field(default=0, ge=0)

    @property
    def is_zero(self) -> bool:
        """True when every counter is zero; only cached tokens are not nothing."""
        return not any(getattr(self, name) for name in COUNTERS)

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(**{name: getattr(self, name) + getattr(other, name) for name in COUNTERS})

    def minus(self, earlier: TokenUsage) -> TokenUsage:
        """What came after ``earlier``.

        Raises:
            InvalidArgumentError: a counter decreased.
        """
        for name in COUNTERS:
            if getattr(self, name) < getattr(earlier, name):
                raise InvalidArgumentError(
                    f"usage counter `{name}` decreased from {getattr(earlier, name)} to {getattr(self, name)}",
                    field=name,
                    value=getattr(self, name),
                    limit=getattr(earlier, name),
                )
        return TokenUsage(**{name: getattr(self, name) - getattr(earlier, name) for name in COUNTERS})


class TokenLedgerEntry(Model):
    """Usage of one model by one source (``turn``, ``subagent:x``, ``plugin:y``, …)."""

    source: str = Field(kw_only=False)
    model: str = Field(kw_only=False)
    usage: TokenUsage = Field(default_factory=TokenUsage, kw_only=False)


class SessionUsageReport(Model):
    """Totals of a ledger; keys are sorted. ``by_source_model`` is source → model → usage."""

    entry_count: int = 0
    usage: TokenUsage = Field(default_factory=TokenUsage)
    by_source: dict[str, TokenUsage] = Field(default_factory=dict)
    by_model: dict[str, TokenUsage] = Field(default_factory=dict)
    by_source_model: dict[str, dict[str, TokenUsage]] = Field(default_factory=dict)


def merge_ledger(entries: Iterable[TokenLedgerEntry]) -> tuple[TokenLedgerEntry, ...]:
    """One entry per (source, model), in the order of first sight; all-zero entries are skipped."""
    merged: dict[tuple[str, str], TokenUsage] = {}
    for entry in entries:
        if not entry.usage.is_zero:
            key = (entry.source, entry.model)
            merged[key] = merged.get(key, TokenUsage()) + entry.usage
    return tuple(TokenLedgerEntry(source, model, usage) for (source, model), usage in merged.items())


def usage_report(entries: Sequence[TokenLedgerEntry]) -> SessionUsageReport:
    """Totals by source, by model and by both."""
    merged = sorted(merge_ledger(entries), key=lambda entry: (entry.source, entry.model))
    total, by_source, by_model = TokenUsage(), dict[str, TokenUsage](), dict[str, TokenUsage]()
    by_both: dict[str, dict[str, TokenUsage]] = {}
    for entry in merged:
        total += entry.usage
        by_source[entry.source] = by_source.get(entry.source, TokenUsage()) + entry.usage
        by_model[entry.model] = by_model.get(entry.model, TokenUsage()) + entry.usage
        by_both.setdefault(entry.source, {})[entry.model] = entry.usage
    return SessionUsageReport(
        entry_count=len(merged),
        usage=total,
        by_source=by_source,
        by_model=dict(sorted(by_model.items())),
        by_source_model=by_both,
    )


def ledger_diff(later: Sequence[TokenLedgerEntry], earlier: Sequence[TokenLedgerEntry]) -> tuple[TokenLedgerEntry, ...]:
    """What was used between two ledgers; entries without a change are left out.

    Raises:
        InvalidArgumentError: a counter decreased, or an entry is gone.
    """
    before = {(entry.source, entry.model): entry.usage for entry in merge_ledger(earlier)}
    after = {(entry.source, entry.model): entry.usage for entry in merge_ledger(later)}
    grown: list[TokenLedgerEntry] = []
    for key in sorted({*before, *after}):
        delta = after.get(key, TokenUsage()).minus(before.get(key, TokenUsage()))
        if not delta.is_zero:
            grown.append(TokenLedgerEntry(key[0], key[1], delta))
    return tuple(grown)
