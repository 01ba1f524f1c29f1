"""Replies whose form depends on the protocol they came by."""

from __future__ import annotations

from typing import Any


def scored(reply: Any) -> list[tuple[str, int]]:
    """Members with whole scores of a ZRANGE WITHSCORES."""
    if reply and isinstance(reply[0], list):
        return [(member, int(score)) for member, score in reply]
    return [(reply[at], int(float(reply[at + 1]))) for at in range(0, len(reply), 2)]
