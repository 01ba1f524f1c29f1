"""A session's history in the order in which it happened, as code of a run reads it: an immutable value."""

from __future__ import annotations

from pydantic import Field

from lash_core.model.base import JsonValue, Model


class ChronologicalEntry(Model):
    """One entry; ``index`` is its place, from 0."""

    index: int = Field(ge=0, kw_only=False)
    payload: JsonValue = Field(default=None, kw_only=False)


class ChronologicalProjection(Model):
    """Entries in order. A run sees the one that it started with, whatever the session does meanwhile."""

    entries: tuple[ChronologicalEntry, ...] = Field(default=(), kw_only=False)

    @property
    def is_empty(self) -> bool:
        """True when nothing has happened."""
        return not self.entries
