"""What scopes without a row own in memory: turns, queue drains, runtime operations."""

from __future__ import annotations

from dataclasses import dataclass, field

from lash_core.memory_store.row import StoredPromise
from lash_core.model.effect_record import EffectRecord
from lash_core.model.execution_scope import ExecutionScope


@dataclass(slots=True)
class ScopeEntry:
    """An effect of a scope without a lease: the claim counts while the record has no outcome."""

    record: EffectRecord
    token: str = ""
    until_ms: int = 0


@dataclass(slots=True)
class ScopeState:
    """Effects and promises by scope.

    ``touched_ms``: when somebody last wrote effects of a scope, or promises of a runtime operation; what is old may be
    forgotten. Promises of sessions stay until they are revoked.
    """

    journals: dict[ExecutionScope, dict[str, ScopeEntry]] = field(
        default_factory=dict[ExecutionScope, dict[str, ScopeEntry]]
    )
    promises: dict[ExecutionScope, dict[str, StoredPromise]] = field(
        default_factory=dict[ExecutionScope, dict[str, StoredPromise]]
    )
    touched_ms: dict[ExecutionScope, int] = field(default_factory=dict[ExecutionScope, int])
    revoked: set[str] = field(default_factory=set[str])
