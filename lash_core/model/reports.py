"""Answers of the registry's tools: pages, feeds, prune, session deletion, drainage (contract 1.14, 2.6, 2.11)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.record import ProcessRecord


class ChangeCursor(Model):
    """Opaque position in the change feed of one store (decision 22).

    ``ChangeCursor.initial()`` is before everything.
    """

    token: str = Field(default="", kw_only=False)

    @classmethod
    def initial(cls) -> ChangeCursor:
        """Before every change."""
        return cls()

    def __str__(self) -> str:
        return self.token


class ProcessChanges(Model):
    """Rows changed since a cursor, latest state of each, ascending within a partition, and the cursor after them."""

    records: tuple[ProcessRecord, ...]
    cursor: ChangeCursor


class ProcessPage(Model):
    """A bounded page of rows in no stated order; ``next_cursor`` is None at the end."""

    items: tuple[ProcessRecord, ...]
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[ProcessRecord]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The rows of this page, not pydantic's pairs of fields: a page is read like a list."""
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class PruneReport(Model):
    """What a prune removed."""

    pruned_processes: int = 0
    pruned_events: int = 0


class SessionDeleteReport(Model):
    """What deleting a session's process state did. Ids sorted, without duplicates, non-terminal processes only."""

    session_id: str
    revoked_handle_count: int = 0
    deleted_wake_count: int = 0
    orphaned_process_ids: tuple[str, ...] = ()
    preserved_process_ids: tuple[str, ...] = ()


class LiveReference(Model):
    """Non-terminal rows that share a definition and an environment."""

    definition: JsonValue = None
    env_ref: str | None = None
    count: int


class ProcessSegmentHandover(Model):
    """A bounded engine continuation at a segment boundary (contract 1.11)."""

    ordinal: int = Field(ge=0)
    reason: str
    program_hash: str | None = None
    engine_state: bytes = b""


class CompletionAuthority(Model):
    """Who may complete without a lease.

    ``external_owner``, ``workflow_key`` or ``reconciled_abandon`` (contract 2.7).
    """

    type: str
    granted_to: str | None = None
    workflow_key: str | None = None

    @classmethod
    def external_owner(cls, granted_to: str) -> CompletionAuthority:
        """The owner of externally owned work reports."""
        return cls(type="external_owner", granted_to=granted_to)

    @classmethod
    def for_workflow_key(cls, workflow_key: str) -> CompletionAuthority:
        """A workflow engine that serialises by key reports."""
        return cls(type="workflow_key", workflow_key=workflow_key)

    @classmethod
    def reconciled_abandon(cls) -> CompletionAuthority:
        """An abandon request on externally owned work is carried out."""
        return cls(type="reconciled_abandon")

    @property
    def label(self) -> str:
        """``external-owner``, ``workflow-key`` or ``reconciled-abandon``."""
        return self.type.replace("_", "-")


# The contract's name of this authority is also the name of its field: on the class the name makes one, on an instance
# (whose fields come before what the class has under that name) it is the key.
type.__setattr__(CompletionAuthority, "workflow_key", CompletionAuthority.for_workflow_key)
