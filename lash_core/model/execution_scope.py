"""Execution scopes: what an effect controller is bound to (``docs/contracts/processes.md`` 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lash_core.errors import RuntimeFailure

ScopeKind = Literal["turn", "process", "queue_drain", "session_delete", "runtime_operation"]

MISSING_SCOPE_ID = "missing_execution_scope_id"


@dataclass(frozen=True, slots=True)
class ExecutionScope:
    """One unit of work that owns effects and promises.

    Build it with one of the five factories; ``session_id`` is None for processes and runtime operations, which is why
    their promises are never revoked with a session.
    """

    kind: ScopeKind
    id: str
    session_id: str | None = None

    @classmethod
    def turn(cls, session_id: str, turn_id: str) -> ExecutionScope:
        """One turn of a session."""
        return cls("turn", turn_id, session_id)

    @classmethod
    def process(cls, process_id: str) -> ExecutionScope:
        """One process."""
        return cls("process", process_id)

    @classmethod
    def queue_drain(cls, session_id: str, drain_id: str) -> ExecutionScope:
        """One drain of a session's queue."""
        return cls("queue_drain", drain_id, session_id)

    @classmethod
    def session_delete(cls, session_id: str) -> ExecutionScope:
        """The deletion of a session."""
        return cls("session_delete", session_id, session_id)

    @classmethod
    def runtime_operation(cls, operation_id: str) -> ExecutionScope:
        """An operation that belongs to no session."""
        return cls("runtime_operation", operation_id)

    def validated(self) -> ExecutionScope:
        """Return self when no part is blank.

        Raises:
            RuntimeFailure: ``missing_execution_scope_id``.
        """
        if not self.id.strip() or (self.session_id is not None and not self.session_id.strip()):
            raise RuntimeFailure(MISSING_SCOPE_ID, f"execution scope `{self.kind}` requires a non-empty id")
        return self

    @classmethod
    def from_json_value(cls, value: Any) -> ExecutionScope:
        """The scope of its JSON.

        Raises:
            RuntimeFailure: a blank part. ValueError: another form.
        """
        match value:
            case {"kind": ("process" | "runtime_operation") as kind, "id": str() as id_, **rest} if not rest:
                return cls(kind, id_).validated()
            case {
                "kind": ("turn" | "queue_drain" | "session_delete") as kind,
                "id": str() as id_,
                "session_id": str() as session_id,
                **rest,
            } if not rest:
                return cls(kind, id_, session_id).validated()
            case _:
                raise ValueError("no execution scope")

    def to_json_value(self) -> dict[str, str]:
        """The scope as JSON, for keys and signatures."""
        facts = {"kind": self.kind, "id": self.id}
        if self.session_id is not None:
            facts["session_id"] = self.session_id
        return facts


EffectScope = ExecutionScope
