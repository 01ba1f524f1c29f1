"""Housekeeping of the registry over Redis: owners of leases, grace, clock, readiness (``ProcessMaintenance``)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

from lash_core.clock import own_time_ms
from lash_core.errors import StoreRefusedError
from lash_core.model.lease import ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.reports import ChangeCursor
from lash_core.redis_store.commands import Command
from lash_core.redis_store.cursors import earliest_feed_cursor
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.lease_codec import StoredLease, decode_identity, decode_lease, owner_digest, parse_own
from lash_core.redis_store.process_base import ProcessRegistryBase
from lash_core.redis_store.scripts import Call

LEASE_PAGE = 500
"""Leases of one HSCAN step."""

LEASES_SWEPT_MAX = 20_000
"""A partition with more leases is not swept for unused owners: the script reads them all, 20 000 in about 10 ms."""


class ProcessMaintenanceOperations(ProcessRegistryBase):
    """What the fleet's own loops ask beside the contract's verbs."""

    def partition_count(self) -> int:
        """Partitions of the namespace."""
        return len(self._context.keyspace.partitions)

    def store_warnings(self) -> tuple[str, ...]:
        """What the servers' settings leave to be wished, as of the last connect (DESIGN 3.4)."""
        return self._context.connection.report.warnings

    def earliest_cursor(self, cursors: Sequence[ChangeCursor]) -> ChangeCursor | None:
        """The position that none of these is behind, compared per partition; None for none.

        Raises:
            InvalidCursorError: this store did not issue one of them.
        """
        if not cursors:
            return None
        return ChangeCursor(token=earliest_feed_cursor([cursor.token for cursor in cursors], self.partition_count()))

    async def ready_at_ms(self, process_id: str) -> float | None:
        """When a row that nobody holds may be claimed; infinite: something must happen first; None: not queued."""
        stored = await self._rows.registration(process_id)
        if stored is None:
            return None
        queue = self._keys(process_id).ready(stored.registration.queue)
        score = (await self._context.connection.read([Command(queue, ("ZSCORE", queue, process_id))]))[0]
        return None if score is None else float(score)

    async def server_time_ms(self) -> int:
        """The server's clock (on a cluster: of the node of the first partition)."""
        keys = self._context.keyspace.partitions[0]
        # Plain reads, not a script: an observer's role may not run scripts.
        commands = [Command(keys.meta, ("TIME",))]
        if self._context.clock_offset:
            commands.append(Command(keys.clock_offset, ("GET", keys.clock_offset)))
        (seconds, micros), *offset = await self._context.connection.read(commands)
        offset_us = int(offset[0] or 0) if offset else 0
        return (int(seconds) * 1_000_000 + int(micros) + offset_us) // 1_000

    async def check_writable(self) -> float:
        """Write and read back one field in four partitions; returns the time that took in ms.

        Raises:
            StoreUnreachableError, OutcomeUnknownError: no answer. StoreRefusedError: read-only, full.
        """
        probe = secrets.token_hex(8)
        started = own_time_ms()
        # Four partitions spread over the slots: on a cluster of up to four masters every one is asked.
        partitions = self._context.keyspace.partitions
        asked = partitions[:: max(1, len(partitions) // 4)]
        replies = await self._context.scripts.run([Call("probe_write", (keys.meta,), (probe,)) for keys in asked])
        if any(reply != probe for reply in replies):
            raise StoreRefusedError("the store did not keep what was written", field="redis_url")
        return own_time_ms() - started

    async def grace_until_ms(self) -> int | None:
        """End of a running failover grace (the latest over all partitions), or None."""
        now_ms = await self.server_time_ms()
        commands = [Command(keys.meta, ("HGET", keys.meta, "quiet")) for keys in self._context.keyspace.partitions]
        latest = max(int(quiet or 0) for quiet in await self._context.connection.read(commands))
        return latest if latest > now_ms else None

    async def drop_unused_owners(self, limit: int) -> int:
        """Drop owner identities that no lease of a row or a session names; returns how many. Safe to repeat."""
        dropped = 0
        for keys in self._context.keyspace.partitions:
            if dropped >= limit:
                break
            script_keys = (keys.identities, keys.owners, keys.receipts, keys.session_leases)
            call = Call("drop_unused_owners", script_keys, (limit - dropped, LEASES_SWEPT_MAX))
            dropped += int((await self._context.scripts.run([call]))[0])
        return dropped

    async def lease_owners(self) -> tuple[LeaseOwnerIdentity, ...]:
        """Identities that hold leases now (worker incarnations), by owner and incarnation. Pages all leases."""
        digests: dict[int, set[str]] = {}
        async for keys, _, stored in self._each_lease():
            digests.setdefault(keys.index, set()).add(stored.owner_digest)
        commands: list[Command] = []
        for index, named in digests.items():
            identities = self._context.keyspace.partitions[index].identities
            commands.append(Command(identities, ("HMGET", identities, *sorted(named))))
        found: dict[tuple[str, str], LeaseOwnerIdentity] = {}
        for texts in await self._context.connection.read(commands) if commands else []:
            for text in texts:
                if text is not None:
                    owner = decode_identity(text)
                    found[owner.owner_id, owner.incarnation_id] = owner
        return tuple(owner for _, owner in sorted(found.items()))

    async def leases_of_owner(self, owner: LeaseOwnerIdentity, limit: int) -> tuple[ProcessLease, ...]:
        """Leases held by any attempt of a worker incarnation, at most ``limit``; pages all partitions."""
        digest = owner_digest(owner)
        held: dict[int, dict[str, StoredLease]] = {}
        count = 0
        async for keys, process_id, stored in self._each_lease():
            if stored.owner_digest == digest and count < limit:
                held.setdefault(keys.index, {})[process_id] = stored
                count += 1
        leases: list[ProcessLease] = []
        for index, found in held.items():
            leases += await self._leases(self._context.keyspace.partitions[index], found, digest)
        return tuple(leases)

    async def _leases(self, keys: PartitionKeys, held: dict[str, StoredLease], digest: str) -> list[ProcessLease]:
        commands = [
            Command(keys.leases, ("ZMSCORE", keys.leases, *held)),
            Command(keys.identities, ("HGET", keys.identities, digest)),
        ]
        commands += [Command(key, ("HGET", key, "wn")) for key in map(keys.control, held)]
        expiries, identity, *writes = await self._context.connection.read(commands)
        return [
            decode_lease(process_id, stored, int(float(expiry)), identity, int(written or 0))
            for (process_id, stored), expiry, written in zip(held.items(), expiries, writes, strict=True)
            if expiry is not None
        ]

    async def _each_lease(self) -> AsyncIterator[tuple[PartitionKeys, str, StoredLease]]:
        """Every lease once, page by page of all partitions at a time."""
        positions = dict.fromkeys(self._context.keyspace.partitions, "0")
        seen: set[str] = set()
        # A scan ends by the server's promise: its cursor visits each slot a bounded number of times.
        while positions:
            commands = [
                Command(keys.owners, ("HSCAN", keys.owners, position, "COUNT", LEASE_PAGE))
                for keys, position in positions.items()
            ]
            pages = await self._context.connection.read(commands)
            following: dict[PartitionKeys, str] = {}
            for keys, (position, flat) in zip(positions, pages, strict=True):
                if str(position) != "0":
                    following[keys] = position
                for process_id, value in zip(flat[::2], flat[1::2], strict=True):
                    if process_id not in seen:
                        seen.add(process_id)
                        yield keys, process_id, parse_own(value, key=keys.owners)
            positions = following
