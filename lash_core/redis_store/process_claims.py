"""Claims of due rows in batches, and expired leases given back to their queues (DESIGN 3.2, 4)."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lash_core.clock import own_time_ms
from lash_core.errors import CorruptRecordError, InvalidArgumentError, LashError
from lash_core.model.fast_build import fast_build
from lash_core.model.ids import check_lease_ttl, check_queue
from lash_core.model.lease import ClaimedProcess, ProcessLease, ReleaseReason
from lash_core.model.owner import LeaseOwnerIdentity, ProcessTable
from lash_core.model.record import ProcessRecord
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.due_times import QUEUE_SETS_MAX, DueTimes
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.lease_codec import (
    StoredLease,
    attempt_identity,
    build_lease,
    encode_identity,
    owner_digest,
    parse_own,
)
from lash_core.redis_store.process_leases import ProcessLeases
from lash_core.redis_store.scripts import Call
from lash_core.store.process_batches import LeasedRelease

logger = logging.getLogger(__name__)

ROUNDS_MAX = 3
"""Rounds of one claim: a hint may be stale, and another worker may have been faster."""

PEEK_EVERY_MS = 1_000
"""How old the picture of the partitions may be while there is work: until then only partitions known to have due rows
are asked."""

UNREADABLE_DELAY_MS = 30_000
"""Delay of a row that this release cannot read: a newer worker should take it."""


@dataclass(slots=True)
class _Picture:
    """What is known about due rows of one set of queues, by partition; a hint only."""

    due: dict[int, int] = field(default_factory=dict[int, int])
    peeked_at_ms: float = -1e18
    turn: int = 0

    def plan(self, targets: Sequence[int], limit: int) -> list[tuple[int, int]]:
        """Partitions to ask and for how many, ``limit`` in all; another one is first each time."""
        known = [index for index in targets if self.due.get(index, 0) > 0]
        if not known:
            return []
        self.turn += 1
        start = self.turn % len(known)
        asks: list[tuple[int, int]] = []
        for index in known[start:] + known[:start]:
            if limit <= 0:
                break
            ask = min(self.due[index], limit)
            asks.append((index, ask))
            limit -= ask
        return asks


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who claims what: the arguments of one ``claim_ready_processes``."""

    owner: LeaseOwnerIdentity
    queues: tuple[str, ...]
    lease_ttl_ms: int


class _Taken(NamedTuple):
    """A row that was taken, not read yet."""

    lease: ProcessLease
    due_at_ms: int
    partition: int


class ProcessClaims(ProcessLeases):
    """``claim_ready_processes`` and ``requeue_expired_leases``."""

    def __init__(self, context: RedisContext, process_table: ProcessTable | None = None) -> None:
        super().__init__(context, process_table)
        self._pictures: dict[tuple[str, ...], _Picture] = {}
        self._due_times = DueTimes()

    def next_due_ms(self) -> dict[int, int]:
        """Partition → earliest due time after now (server ms) as last learned from claims and notices: a hint."""
        return self._due_times.earliest()

    async def claim_ready_processes(
        self,
        owner: LeaseOwnerIdentity,
        limit: int,
        lease_ttl_ms: int,
        queues: Sequence[str] = ("default",),
        *,
        partitions: Sequence[int] | None = None,
    ) -> tuple[ClaimedProcess, ...]:
        """Take up to ``limit`` due rows of ``queues``, each under its own attempt's incarnation, and read them.

        Never takes more than ``limit``. Expired leases of these queues are given back to them first. A row that this
        release cannot read is given back as declined; when a read fails for another reason, the leases stay until they
        expire. A lost reply is asked for again under the same request id.
        """
        check_lease_ttl(lease_ttl_ms)
        if limit < 0:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 0", field="limit", value=limit)
        names = tuple(dict.fromkeys(check_queue(queue) for queue in queues))
        count = len(self._context.keyspace.partitions)
        targets = [index for index in (range(count) if partitions is None else partitions) if 0 <= index < count]
        if limit == 0 or not names or not targets:
            return ()
        claim = _Claim(owner, names, lease_ttl_ms)
        picture = self._picture(names)
        leases: list[_Taken] = []
        for number in range(ROUNDS_MAX):
            missing = limit - len(leases)
            asks = picture.plan(targets, missing)
            if number == 0 and own_time_ms() - picture.peeked_at_ms > PEEK_EVERY_MS:
                asks = []
            if not asks and number < ROUNDS_MAX - 1 and not (number > 0 and leases):
                await self._peek(picture, names, targets)
                asks = picture.plan(targets, missing)
            if not asks:
                break
            leases += await self._claim_from(claim, picture, asks)
            if len(leases) >= limit:
                break
        return await self._read_claimed(leases)

    def _picture(self, queues: tuple[str, ...]) -> _Picture:
        picture = self._pictures.get(queues)
        if picture is None:
            if len(self._pictures) >= QUEUE_SETS_MAX:
                self._pictures.clear()
            picture = self._pictures[queues] = _Picture()
        return picture

    async def _peek(self, picture: _Picture, queues: tuple[str, ...], targets: Sequence[int]) -> None:
        """Look at the partitions in one pipeline; give expired leases of these queues back."""
        picture.peeked_at_ms = own_time_ms()
        expired = await self._look(picture, queues, targets, self._context.settings.limits.batch_max)
        expired = self._of_queues(expired, queues)
        touched = sorted({keys.index for keys, _ in expired})
        if touched and await self._requeue(expired):
            await self._look(picture, queues, touched, 0)

    async def _look(
        self, picture: _Picture | None, queues: tuple[str, ...], targets: Sequence[int], limit: int
    ) -> list[tuple[PartitionKeys, list[tuple[str, str]]]]:
        """Due counts into the picture; expired leases by partition, at most ``limit`` each."""
        partitions = [self._context.keyspace.partitions[index] for index in targets]
        calls = [
            Call(
                "peek_partition",
                (keys.leases, keys.owners, *(keys.ready(queue) for queue in queues)),
                (limit, len(queues)),
            )
            for keys in partitions
        ]
        expired: list[tuple[PartitionKeys, list[tuple[str, str]]]] = []
        for keys, reply in zip(partitions, await self._context.scripts.run(calls), strict=True):
            if picture is not None:
                picture.due[keys.index] = int(reply[1])
                self._due_times.learn(queues, keys.index, int(reply[3]), int(reply[0]))
            if len(reply) > 4:
                expired.append((keys, list(zip(reply[4::2], reply[5::2], strict=True))))
        return expired

    async def _claim_from(self, claim: _Claim, picture: _Picture, asks: Sequence[tuple[int, int]]) -> list[_Taken]:
        batch_max = self._context.settings.limits.batch_max
        digest, identity = owner_digest(claim.owner), encode_identity(claim.owner)
        # Queues take turns at the front, so that a full one does not starve the others.
        first = picture.turn % len(claim.queues)
        queues = claim.queues[first:] + claim.queues[:first]
        calls: list[Call] = []
        requests: list[str] = []
        for index, ask in asks:
            keys = self._context.keyspace.partitions[index]
            requests.append(secrets.token_hex(8))
            script_keys = (keys.meta, keys.owners, keys.leases, keys.marks, keys.receipts, keys.identities)
            calls.append(
                Call(
                    "claim_ready_processes",
                    (*script_keys, *(keys.ready(queue) for queue in queues)),
                    (digest, identity, requests[-1], min(ask, batch_max), claim.lease_ttl_ms, self._grace, *queues),
                )
            )
        replies = await self._context.scripts.run(calls, durable=self._claims_are_durable)
        leases: list[_Taken] = []
        for (index, _), request_id, reply in zip(asks, requests, replies, strict=True):
            picture.due[index] = int(reply[2]) if reply[1] == "0" else 0
            if int(reply[3]) > 0:
                picture.peeked_at_ms = -1e18
            self._due_times.learn(claim.queues, index, int(reply[4]), int(reply[0]))
            fence, claimed = int(reply[5]), int(reply[6])
            rows = zip(reply[7::3], reply[8::3], reply[9::3], strict=True)
            for number, (queue, process_id, due) in enumerate(rows):
                token = f"{request_id}.{number + 1}"
                stored = StoredLease(
                    fence + number, claimed, digest, batch=True, queue=queues[int(queue) - 1], token=token
                )
                owner = attempt_identity(claim.owner, token)
                lease = build_lease(process_id, owner, stored, claimed + claim.lease_ttl_ms, 0)
                leases.append(_Taken(lease, int(due), index))
        return leases

    async def _read_claimed(self, leases: Sequence[_Taken]) -> tuple[ClaimedProcess, ...]:
        """Read the rows under their leases; what cannot be read goes back."""
        if not leases:
            return ()
        rows = await self._rows.read_rows([taken.lease.process_id for taken in leases])
        claimed: list[ClaimedProcess] = []
        unreadable: list[LeasedRelease] = []
        for taken, row in zip(leases, rows, strict=True):
            lease = taken.lease
            if isinstance(row, ProcessRecord):
                held = fast_build(ProcessLease, {**lease.__dict__, "fenced_writes": row.fenced_writes})
                facts = {"lease": held, "record": row, "due_at_ms": taken.due_at_ms, "partition": taken.partition}
                claimed.append(fast_build(ClaimedProcess, facts))
            else:
                detail = row.code if isinstance(row, CorruptRecordError) else "row_gone"
                reason = ReleaseReason(kind="declined", due_in_ms=UNREADABLE_DELAY_MS, detail=detail)
                unreadable.append(LeasedRelease(lease, reason))
        if unreadable:
            logger.warning(
                "rows that cannot be read were given back",
                extra={"action": "claim_ready_processes", "rows": len(unreadable)},
            )
            await self.release_process_leases(unreadable)
        return tuple(claimed)

    async def requeue_expired_leases(self, limit: int, queues: Sequence[str] | None = None) -> int:
        """Give up to ``limit`` expired leases back to their rows' queues, counting each death; returns how many.

        Candidates are read first; the script checks each again and skips what was renewed or taken since. Safe to
        repeat. During the grace after a failover nothing is given back.
        """
        if limit <= 0:
            return 0
        targets = range(len(self._context.keyspace.partitions))
        room = min(limit, self._context.settings.limits.batch_max)
        expired = await self._look(None, (), targets, room)
        if queues is not None:
            expired = self._of_queues(expired, queues)
        bounded: list[tuple[PartitionKeys, list[tuple[str, str]]]] = []
        for keys, items in expired:
            if limit > 0:
                bounded.append((keys, items[:limit]))
                limit -= len(items[:limit])
        return await self._requeue(bounded)

    def _of_queues(
        self, expired: Sequence[tuple[PartitionKeys, list[tuple[str, str]]]], queues: Sequence[str]
    ) -> list[tuple[PartitionKeys, list[tuple[str, str]]]]:
        """Those of the expired leases whose rows belong to these queues."""
        wanted = set(queues)
        chosen: list[tuple[PartitionKeys, list[tuple[str, str]]]] = []
        for keys, items in expired:
            ours = [item for item in items if parse_own(item[1], key=keys.owners).queue in wanted]
            if ours:
                chosen.append((keys, ours))
        return chosen

    async def _requeue(self, expired: Sequence[tuple[PartitionKeys, Sequence[tuple[str, str]]]]) -> int:
        calls: list[Call] = []
        for keys, items in expired:
            script_keys = [keys.owners, keys.leases, keys.marks, keys.meta, keys.notices, keys.identities]
            args: list[str | int] = [self._grace, self._context.settings.limits.notices_max]
            for process_id, own in items:
                try:
                    queue = parse_own(own, key=keys.owners).queue
                except LashError:
                    logger.exception("a lease cannot be read; it stays", extra={"action": "requeue_expired_leases"})
                    continue
                script_keys += [keys.control(process_id), keys.audit(process_id), keys.ready(queue)]
                args += (process_id, own)
            if len(args) > 2:
                calls.append(Call("requeue_expired_leases", tuple(script_keys), tuple(args)))
        replies = await self._context.scripts.run(calls) if calls else []
        return sum(word != "kept" for words in replies for word in words)
