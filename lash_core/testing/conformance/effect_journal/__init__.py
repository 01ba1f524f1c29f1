"""The conformance suite of ``lash_core.store.effect_journal.EffectJournal``.

Cases run as those of ``process_registry`` do: own ids, any order, one at a time per set of stores. ``forget_effects``
looks at all scopes of the stores, and ``journal_limits`` writes much. Which case notices which broken rule is listed in
docs/adr/0100.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from lash_core.testing.conformance.effect_journal import (
    child_starts,
    claim_effect,
    durability_tier,
    fenced_effects,
    finalize_effect,
    forget_effects,
    journal_limits,
    pruned_journals,
    record_effects,
    renew_effect,
)
from lash_core.testing.conformance.stores import EffectStores
from lash_core.testing.conformance.suite import cases_of

Case = Callable[[EffectStores], Awaitable[None]]

_MODULES = (
    durability_tier,
    record_effects,
    fenced_effects,
    child_starts,
    journal_limits,
    pruned_journals,
    claim_effect,
    renew_effect,
    finalize_effect,
    forget_effects,
)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case as ``(<module>.<function>, function)``, in a stable order: by subject, then as written."""
    return cases_of(_MODULES)
