"""How much of a session stays in memory."""

from __future__ import annotations

from enum import StrEnum


class Residency(StrEnum):
    """How much of a session stays in memory."""

    KEEP_ALL = "keep_all"
    ACTIVE_PATH_ONLY = "active_path_only"
    """Needs a persistent store: what is trimmed is read again from there."""

    @classmethod
    def default(cls) -> Residency:
        """Everything."""
        return cls.KEEP_ALL
