"""Pages over all sessions: partition by partition, in the order of their first sight (``sessions.md`` 2.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import InvalidCursorError
from lash_core.model.session_commit import PersistedSessionConfig
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.replies import scored
from lash_core.redis_store.server_time import server_time_ms
from lash_core.redis_store.session_lease_codec import decode_session_lease, owner_digest_of
from lash_core.redis_store.session_upkeep import decode_meta
from lash_core.store.runtime_persistence import SessionSummary
from lash_core.store.session_bounds import check_page_limit
from lash_core.store.session_records import decode_record

SETS_A_PAGE = 64
"""Partitions that one page asks at most: as many as a namespace has by default."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Behind which session of which partition a page begins: ``<partition>:<ms of its first sight>:<session>``."""

    partition: int = 0
    since_ms: int = 0
    session_id: str = ""

    @classmethod
    def of(cls, cursor: str | None, partitions: int) -> _Place:
        if cursor is None:
            return cls()
        partition, _, rest = cursor.partition(":")
        since, separator, session_id = rest.partition(":")
        if not (partition.isdigit() and since.isdigit() and separator and int(partition) < partitions):
            raise InvalidCursorError(f"{cursor[:80]!r} is no cursor of this listing", field="cursor", value=cursor)
        return cls(int(partition), int(since), session_id)

    @property
    def cursor(self) -> str:
        return f"{self.partition}:{self.since_ms}:{self.session_id}"

    def is_before(self, session_id: str, since_ms: int) -> bool:
        """In the order of a sorted set: by score, then by bytes."""
        return (self.since_ms, self.session_id.encode()) < (since_ms, session_id.encode())


async def sessions_page(
    context: RedisContext, cursor: str | None, limit: int
) -> tuple[tuple[SessionSummary, ...], str | None]:
    """At most ``limit`` sessions. What is there from the first page to the last is in exactly one of them.

    Raises:
        InvalidCursorError: no cursor of this listing. CorruptRecordError, NewerRecordError: a meta or config.
        InvalidArgumentError: ``limit`` is not between 1 and ``page_max``.
    """
    check_page_limit(limit, context.settings.limits)
    partitions = context.keyspace.partitions
    place, found = _Place.of(cursor, len(partitions)), list[str]()
    for _ in range(SETS_A_PAGE):
        wanted = limit - len(found)
        members = await _members_behind(context, partitions[place.partition].sessions, place, wanted)
        found += [session_id for session_id, _ in members]
        if len(members) == wanted:
            place = _Place(place.partition, members[-1][1], members[-1][0])
            break
        if place.partition + 1 == len(partitions):
            return await _summaries(context, found), None
        place = _Place(place.partition + 1)
    return await _summaries(context, found), place.cursor


async def _members_behind(context: RedisContext, key: str, place: _Place, wanted: int) -> list[tuple[str, int]]:
    """The next members of one set with their scores; those of the same ms as the place are skipped up to it."""
    found: list[tuple[str, int]] = []
    offset = 0
    while len(found) < wanted:
        size = wanted - len(found) + 1
        command = ("ZRANGE", key, place.since_ms, "+inf", "BYSCORE", "LIMIT", offset, size, "WITHSCORES")
        page = scored((await context.connection.read([Command(key, command)]))[0])
        found += [(name, score) for name, score in page if place.is_before(name, score)][: wanted - len(found)]
        offset += size
        if len(page) < size:
            break
    return found


async def _summaries(context: RedisContext, session_ids: Sequence[str]) -> tuple[SessionSummary, ...]:
    if not session_ids:
        return ()
    replies = await context.connection.read([one for name in session_ids for one in _facts_of(context, name)])
    now_ms = await server_time_ms(context)
    rows = dict(zip(session_ids, (replies[at : at + 4] for at in range(0, len(replies), 4)), strict=True))
    owners = await _owners(context, {name: facts[2] for name, facts in rows.items() if facts[2]})
    found: list[SessionSummary] = []
    for session_id, ((meta, head, revision, config), queued, lease, expiry) in rows.items():
        if meta is None:
            continue  # only references of attachments, or deleted meanwhile
        key = context.keyspace.of_session(session_id).session_head(session_id)
        owner_id: str | None = None
        if lease is not None and expiry is not None and float(expiry) > now_ms:
            held = decode_session_lease(session_id, lease, int(float(expiry)), owners[session_id], key=key)
            owner_id = held.owner.owner_id
        facts = decode_meta(session_id, meta, key=key).to_plain_value()
        if head is not None and config is not None:
            subject = f"the config of session `{session_id}`"
            facts["model"] = decode_record(PersistedSessionConfig, config, subject=subject, key=key).model.id
        found.append(
            SessionSummary(
                **facts,
                head_revision=int(revision) if head is not None else 0,
                queued=int(queued),
                lease_owner_id=owner_id,
            )
        )
    return tuple(found)


def _facts_of(context: RedisContext, session_id: str) -> tuple[Command, ...]:
    keys = context.keyspace.of_session(session_id)
    head, order = keys.session_head(session_id), keys.session_queue_order(session_id)
    return (
        Command(head, ("HMGET", head, "meta", "head", "r", "cfg")),
        Command(order, ("ZCARD", order)),
        Command(keys.session_leases, ("HGET", keys.session_leases, session_id)),
        Command(keys.session_expiries, ("ZSCORE", keys.session_expiries, session_id)),
    )


async def _owners(context: RedisContext, leases: Mapping[str, str]) -> dict[str, str | None]:
    """Identities as stored, of the owners of these leases."""
    if not leases:
        return {}
    keys = {session_id: context.keyspace.of_session(session_id).identities for session_id in leases}
    commands = [
        Command(keys[session_id], ("HGET", keys[session_id], owner_digest_of(value)))
        for session_id, value in leases.items()
    ]
    replies: list[Any] = await context.connection.read(commands)
    return dict(zip(leases, replies, strict=True))
