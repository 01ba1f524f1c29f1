"""Walking over members that stand in one sorted set a partition, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import InvalidCursorError
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext

EMPTY_SETS_A_PAGE = 64
"""Sets that one page asks at most: as many as a namespace has partitions by default."""


@dataclass(frozen=True, slots=True)
class MembersPage:
    """Members of one page. ``next_cursor`` None = these were the last."""

    members: tuple[str, ...]
    next_cursor: str | None


async def scan_page(context: RedisContext, sets: Sequence[str], cursor: str | None, limit: int) -> MembersPage:
    """About ``limit`` members of several sorted sets. A member may come twice; what is there throughout comes.

    Args:
        context: one namespace.
        sets: keys, in an order that does not change.
        cursor: None, or the ``next_cursor`` of the page before: ``<set>:<position of ZSCAN in it>``.
        limit: members to look for.

    Raises:
        InvalidCursorError: no cursor of these sets.
    """
    at, position = scan_place(cursor, len(sets))
    found: dict[str, None] = {}
    for _ in range(EMPTY_SETS_A_PAGE):
        if at >= len(sets) or len(found) >= limit:
            break
        reply: Any = await context.connection.read(
            [Command(sets[at], ("ZSCAN", sets[at], position, "COUNT", max(1, limit)))]
        )
        position, flat = reply[0]
        found.update(dict.fromkeys(flat[::2]))
        if str(position) == "0":
            at, position = at + 1, "0"
    return MembersPage(tuple(found), f"{at}:{position}" if at < len(sets) else None)


def scan_place(cursor: str | None, sets: int) -> tuple[int, str]:
    """Where a cursor ``<key>:<position of its scan>`` is.

    Raises:
        InvalidCursorError: no cursor of so many keys.
    """
    if cursor is None:
        return 0, "0"
    at, _, position = cursor.partition(":")
    if not (at.isdigit() and position.isdigit() and int(at) < sets):
        raise InvalidCursorError(f"{cursor[:80]!r} is no cursor of this walk", field="cursor", value=cursor)
    return int(at), position
