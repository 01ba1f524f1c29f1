"""Sessions with ready work over Redis: claims of the fleet, deferral, leases of dead owners (docs/adr/0162)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from lash_core.model.ids import check_lease_ttl
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.key_scan import scan_place
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.lease_codec import attempt_identity, encode_identity, owner_digest
from lash_core.redis_store.leased_session import session_fence_argument, session_script_keys
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import time_commands, time_us
from lash_core.redis_store.session_lease_codec import build_session_lease, decode_session_lease, owner_digest_of
from lash_core.redis_store.session_leases import grace_argument, release_session
from lash_core.store.ready_sessions import SESSION_LEASES_PAGE, ReadySession
from lash_core.store.session_bounds import check_delay, check_ready_limit

CLAIM_ROUNDS_MAX = 3
"""Rounds of one claim: between the look and the claim another worker may have been faster."""

_SESSIONS = ("sessions",)
"""The name under which due times of sessions are learned."""


class RedisReadySessions:
    """``ReadySessions`` over Redis; the factory of session stores is one."""

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    async def claim_ready_sessions(
        self,
        owner: LeaseOwnerIdentity,
        limit: int,
        lease_ttl_ms: int,
        partitions: Sequence[int] | None = None,
    ) -> tuple[ReadySession, ...]:
        """Claim up to ``limit`` sessions whose queue has a row that is due, each under its own attempt's lease.

        Several partitions are looked at first and only those with due sessions asked; a single one is asked at once.
        During the grace after a failover nothing is claimed. A lost reply is asked for again under its request id.

        Raises:
            InvalidArgumentError: the limit or the TTL.
        """
        check_lease_ttl(lease_ttl_ms)
        check_ready_limit(limit)
        known = self._context.keyspace.partitions
        wanted = range(len(known)) if partitions is None else dict.fromkeys(partitions)
        targets = [known[index] for index in wanted if 0 <= index < len(known)]
        claimed: list[ReadySession] = []
        for number in range(CLAIM_ROUNDS_MAX):
            missing = limit - len(claimed)
            if missing <= 0 or not targets:
                break
            asks = [(targets[0], missing)] if len(targets) == 1 else await self._plan(targets, missing)
            if not asks or (number > 0 and len(targets) == 1):
                break
            claimed += await self._claim_from(asks, owner, lease_ttl_ms)
        return tuple(claimed)

    async def defer_session(self, lease: SessionExecutionLease, delay_ms: int) -> None:
        """Release a session whose work this worker cannot do; the fleet may claim it again after the delay.

        Fenced, safe to repeat.

        Raises:
            InvalidArgumentError: the delay.
        """
        check_delay(delay_ms)
        keys = session_script_keys(self._context.keyspace.of_session(lease.session_id), lease.session_id)
        fence = (lease.session_id, session_fence_argument(lease), lease.lease_token)
        await release_session(self._context, lease, fence, keys, delay_ms)

    def next_session_due_ms(self) -> Mapping[int, int]:
        """Partition → when its next session becomes due (server ms), as last heard of: a hint."""
        return self._context.session_due.earliest()

    async def expire_session_leases(self, observed: Sequence[SessionExecutionLease]) -> tuple[bool, ...]:
        """End leases whose owners the caller proved dead, each if it is still the observed one; one answer a lease.

        A death is counted when a turn was open; the session is due after its back-off. Safe to repeat. During the
        grace after a failover nothing is ended.
        """
        groups: dict[PartitionKeys, list[int]] = {}
        for place, lease in enumerate(observed):
            groups.setdefault(self._context.keyspace.of_session(lease.session_id), []).append(place)
        batch_max = self._context.settings.limits.batch_max
        calls: list[Call] = []
        asked: list[list[int]] = []
        for keys, places in groups.items():
            for start in range(0, len(places), batch_max):
                part = places[start : start + batch_max]
                script_keys, args = [keys.meta], [grace_argument(self._context)]
                for place in part:
                    lease = observed[place]
                    script_keys += session_script_keys(keys, lease.session_id)
                    args += (lease.session_id, session_fence_argument(lease), lease.lease_token)
                calls.append(Call("expire_session_leases", tuple(script_keys), tuple(args)))
                asked.append(part)
        ended = [False] * len(observed)
        for part, words in zip(asked, await self._context.scripts.run(calls) if calls else [], strict=True):
            for place, word in zip(part, words, strict=True):
                ended[place] = word == "expired"
        return tuple(ended)

    async def live_session_leases(
        self, cursor: str | None = None, limit: int = SESSION_LEASES_PAGE
    ) -> tuple[tuple[SessionExecutionLease, ...], str | None]:
        """About ``limit`` live leases and the cursor of the next page; the order is not specified.

        Raises:
            InvalidCursorError: no cursor of this listing.
        """
        first, position = scan_place(cursor, len(self._context.keyspace.partitions))
        partitions = self._context.keyspace.partitions[first:]
        counts = await self._context.connection.read(
            [Command(keys.session_leases, ("HLEN", keys.session_leases)) for keys in partitions]
        )
        if position != "0" or int(counts[0]) > limit:
            return await self._page_of_one(partitions[0], position, limit)
        chosen: list[PartitionKeys] = []
        room = limit
        for keys, count in zip(partitions, counts, strict=True):
            room -= int(count)
            if room < 0:
                break
            chosen.append(keys)
        pages = await self._context.connection.read(
            [Command(keys.session_leases, ("HGETALL", keys.session_leases)) for keys in chosen]
        )
        found = {keys: as_mapping(page) for keys, page in zip(chosen, pages, strict=True)}
        following = first + len(chosen)
        return await self._live(found), f"{following}:0" if len(chosen) < len(partitions) else None

    # -- claims ----------------------------------------------------------------------------------------

    async def _plan(self, targets: Sequence[PartitionKeys], limit: int) -> list[tuple[PartitionKeys, int]]:
        """Partitions to ask and for how many, ``limit`` in all. Another one is first each time."""
        calls = [Call("peek_ready_sessions", (keys.sessions_ready,), ()) for keys in targets]
        asks: list[tuple[PartitionKeys, int]] = []
        due: list[tuple[PartitionKeys, int]] = []
        for keys, reply in zip(targets, await self._context.scripts.run(calls), strict=True):
            self._context.session_due.learn(_SESSIONS, keys.index, int(reply[2]), int(reply[0]))
            if int(reply[1]):
                due.append((keys, int(reply[1])))
        start = secrets.randbelow(len(due)) if due else 0
        for keys, count in due[start:] + due[:start]:
            if limit <= 0:
                break
            asks.append((keys, min(count, limit)))
            limit -= asks[-1][1]
        return asks

    async def _claim_from(
        self, asks: Sequence[tuple[PartitionKeys, int]], owner: LeaseOwnerIdentity, lease_ttl_ms: int
    ) -> list[ReadySession]:
        digest, identity, grace = owner_digest(owner), encode_identity(owner), grace_argument(self._context)
        requests = [secrets.token_hex(8) for _ in asks]
        calls = [
            Call(
                "claim_ready_sessions",
                (
                    *(keys.meta, keys.session_leases, keys.session_expiries, keys.sessions_ready),
                    *(keys.session_deaths, keys.receipts, keys.identities, keys.notices),
                ),
                (digest, identity, request, ask, lease_ttl_ms, grace),
            )
            for (keys, ask), request in zip(asks, requests, strict=True)
        ]
        # On ``replicated`` a lease is replicated before work starts; on the other levels fences are enough.
        durable = self._context.settings.durability == "replicated"
        found: list[ReadySession] = []
        replies: list[list[Any]] = await self._context.scripts.run(calls, durable=durable)
        for (keys, _), request, reply in zip(asks, requests, replies, strict=True):
            self._context.session_due.learn(_SESSIONS, keys.index, int(reply[3]), int(reply[0]))
            fence, claimed_ms = int(reply[4]), int(reply[5])
            for number, (session_id, deaths) in enumerate(zip(reply[6::2], reply[7::2], strict=True)):
                token = f"{request}.{number + 1}"
                times = (claimed_ms, claimed_ms + lease_ttl_ms)
                attempt = attempt_identity(owner, token)
                lease = build_session_lease(session_id, attempt, token, fence + number, times)
                found.append(ReadySession(lease, deaths=int(deaths)))
        return found

    # -- listing ---------------------------------------------------------------------------------------

    async def _page_of_one(
        self, keys: PartitionKeys, position: str, limit: int
    ) -> tuple[tuple[SessionExecutionLease, ...], str | None]:
        """A page of a partition that has more leases than fit into one."""
        scan = Command(keys.session_leases, ("HSCAN", keys.session_leases, position, "COUNT", limit))
        (position, flat) = (await self._context.connection.read([scan]))[0]
        leases = await self._live({keys: as_mapping(flat)})
        if str(position) != "0":
            return leases, f"{keys.index}:{position}"
        following = keys.index + 1
        return leases, f"{following}:0" if following < len(self._context.keyspace.partitions) else None

    async def _live(self, found: Mapping[PartitionKeys, Mapping[str, str]]) -> tuple[SessionExecutionLease, ...]:
        """Those of the stored leases that have not expired."""
        leases: list[SessionExecutionLease] = []
        filled = {keys: values for keys, values in found.items() if values}
        commands: list[Command] = []
        for keys, values in filled.items():
            digests = [owner_digest_of(value) for value in values.values()]
            commands.append(Command(keys.session_expiries, ("ZMSCORE", keys.session_expiries, *values)))
            commands.append(Command(keys.identities, ("HMGET", keys.identities, *digests)))
            commands.extend(time_commands(self._context, keys.session_leases))
        replies = await self._context.connection.read(commands) if commands else []
        width = len(replies) // len(filled) if filled else 0
        for number, (keys, values) in enumerate(filled.items()):
            expiries, identities, *clock = replies[number * width : (number + 1) * width]
            now_ms = time_us(clock) // 1_000
            for (session_id, value), expiry, identity in zip(values.items(), expiries, identities, strict=True):
                expires_ms = 0 if expiry is None else int(float(expiry))
                if expires_ms > now_ms:
                    key = keys.session_leases
                    leases.append(decode_session_lease(session_id, value, expires_ms, identity, key=key))
        return tuple(leases)
