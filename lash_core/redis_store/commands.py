"""One Redis command and where it goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """A command; ``key`` routes it on a cluster."""

    key: str
    args: tuple[str | bytes | int | float, ...]
