"""Leases of single rows over Redis: claim, reclaim, renew, release, read (contract 2.8, decisions 3, 9, 16, 30)."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import ClaimsPausedError, LeaseLostError, UnknownProcessError
from lash_core.model.facts import ProcessStarted
from lash_core.model.fast_build import fast_build
from lash_core.model.ids import check_lease_ttl
from lash_core.model.lease import (
    Acquired,
    Busy,
    ClaimOutcome,
    Lost,
    ProcessLease,
    ProcessLeaseCompletion,
    ReleaseReason,
    Renewed,
    RenewOutcome,
)
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.redis_store.commands import Command
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.lease_codec import (
    attempt_of,
    build_lease,
    decode_lease,
    encode_identity,
    fence_argument,
    owner_digest,
    parse_own,
)
from lash_core.redis_store.outbox import ProcessOutbox
from lash_core.redis_store.process_base import STALE_RETRIES_MAX, lease_answer, still_stale
from lash_core.redis_store.row_codec import encode_first_started
from lash_core.redis_store.row_reader import StoredRegistration
from lash_core.redis_store.scripts import Call
from lash_core.store.process_batches import BatchOutcome, LeasedRelease

_RELEASE_AUDIT = {"parked": "park", "yielded": "yield", "declined": "decline"}


class ProcessLeases(ProcessOutbox):
    """Who may run a process, and for how long. Only the server's clock decides."""

    async def claim_process_lease(self, process_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int) -> ClaimOutcome:
        """Take a free or expired lease; the own live one is extended, never shortened.

        Safe to repeat with the same owner incarnation. Works on rows that are not due and on terminal rows.

        Raises:
            UnknownProcessError. ClaimsPausedError: a grace after a failover runs.
        """
        return await self._claim("claim_process_lease", process_id, owner, lease_ttl_ms, ())

    async def reclaim_process_lease(
        self, process_id: str, owner: LeaseOwnerIdentity, observed: ProcessLease, lease_ttl_ms: int
    ) -> ClaimOutcome:
        """Take a lease whose holder is provably dead: compare and swap on ``observed``; free or expired: like a claim.

        Raises:
            UnknownProcessError. ClaimsPausedError: a grace after a failover runs.
        """
        proved = self._context.proofs.proves(observed.owner, owner)
        args = (fence_argument(observed), observed.lease_token, "1" if proved else "0")
        return await self._claim("reclaim_process_lease", process_id, owner, lease_ttl_ms, args)

    async def _claim(
        self,
        script: str,
        process_id: str,
        owner: LeaseOwnerIdentity,
        lease_ttl_ms: int,
        further: tuple[str, ...],
    ) -> ClaimOutcome:
        check_lease_ttl(lease_ttl_ms)
        token = secrets.token_hex(8)
        for _ in range(STALE_RETRIES_MAX):
            stored = await self._require_registration(process_id)
            call = self._claim_call(script, stored, owner, (token, lease_ttl_ms))
            call = Call(call.script, call.keys, call.args + further)
            reply: list[Any] = (await self._context.scripts.run([call], durable=self._claims_are_durable))[0]
            match reply[0]:
                case "stale":
                    self._rows.forget(process_id)
                case "unknown":
                    raise UnknownProcessError(process_id)
                case "quiet":
                    raise ClaimsPausedError(process_id, int(reply[1]))
                case "acquired":
                    own = parse_own(reply[1], key=self._keys(process_id).owners)
                    return Acquired(lease=build_lease(process_id, owner, own, int(reply[2]), int(reply[3])))
                case _:
                    own = parse_own(reply[1], key=self._keys(process_id).owners)
                    holder = decode_lease(process_id, own, int(reply[2]), reply[4] or None, int(reply[3]))
                    return Busy(holder=holder)
        raise still_stale(process_id)

    @property
    def _claims_are_durable(self) -> bool:
        """On ``replicated`` a claim is replicated before work starts; on the other levels fences are enough."""
        return self._context.settings.durability == "replicated"

    @property
    def _grace(self) -> str:
        """The failover guard's argument: blank = the rule of DESIGN 3.3 rule 5."""
        grace = self._context.settings.failover_grace_ms
        return "" if grace is None else str(grace)

    def _claim_call(
        self, script: str, stored: StoredRegistration, owner: LeaseOwnerIdentity, token_and_ttl: tuple[str, int]
    ) -> Call:
        registration = stored.registration
        keys, process_id = self._keys(registration.id), registration.id
        script_keys = (
            keys.control(process_id),
            keys.owners,
            keys.leases,
            keys.marks,
            keys.ready(registration.queue),
            keys.meta,
            keys.identities,
            keys.audit(process_id),
        )
        identity = (owner_digest(owner), *attempt_of(owner), encode_identity(owner))
        args = (process_id, stored.hash, *identity, registration.queue, *token_and_ttl, self._grace)
        return Call(script, script_keys, args)

    async def renew_process_lease(self, lease: ProcessLease, lease_ttl_ms: int) -> ProcessLease:
        """Extend a live lease; token and fence stay. Marks stay for the next batch renewal. Raises: LeaseLostError."""
        check_lease_ttl(lease_ttl_ms)
        outcome = (await self._renew([lease], lease_ttl_ms, take_marks=False))[0]
        if isinstance(outcome, Lost):
            raise LeaseLostError(lease.process_id, outcome.reason)
        return outcome.lease

    async def renew_process_leases(self, leases: Sequence[ProcessLease], lease_ttl_ms: int) -> tuple[RenewOutcome, ...]:
        """Extend many leases, one answer per item in order, with the marks set since the last renewal.

        One script call a partition. Safe to repeat: a mark is reported until a renewal that reported it was answered.
        """
        check_lease_ttl(lease_ttl_ms)
        return tuple(await self._renew(leases, lease_ttl_ms, take_marks=True))

    async def _renew(
        self, leases: Sequence[ProcessLease], lease_ttl_ms: int, *, take_marks: bool
    ) -> list[RenewOutcome]:
        groups = self._by_partition([lease.process_id for lease in leases])
        calls: list[Call] = []
        for keys, group in groups:
            script_keys = [keys.owners, keys.leases, keys.marks, keys.meta]
            args: list[str | int] = [lease_ttl_ms]
            for place in group:
                lease = leases[place]
                script_keys.append(keys.control(lease.process_id))
                args += (lease.process_id, fence_argument(lease), lease.lease_token)
            calls.append(Call("renew_process_leases", tuple(script_keys), tuple(args)))
        outcomes: list[RenewOutcome | None] = [None] * len(leases)
        replies = await self._context.scripts.run(calls) if calls else []
        for (_, group), reply in zip(groups, replies, strict=True):
            expiry = int(reply[0])
            for place, word in zip(group, reply[1:], strict=True):
                outcomes[place] = self._renewed(leases[place], expiry, str(word), take_marks=take_marks)
        return [outcome for outcome in outcomes if outcome is not None]

    def _renewed(self, lease: ProcessLease, expiry: int, word: str, *, take_marks: bool) -> RenewOutcome:
        if ";" not in word:
            return Lost(process_id=lease.process_id, reason=word)
        cancels, signals, writes = map(int, word.split(";"))
        facts = {"expires_at_epoch_ms": expiry, "fenced_writes": writes}
        renewed = fast_build(ProcessLease, {**lease.__dict__, **facts})
        cancelled = signalled = False
        if take_marks and (cancels or signals):
            memory = self._writes.memory(lease)
            cancelled, signalled = cancels > memory.cancel_marks, signals > memory.signal_marks
            memory.cancel_marks, memory.signal_marks = cancels, signals
        return fast_build(
            Renewed,
            {"type": "renewed", "lease": renewed, "cancel_requested": cancelled, "signalled": signalled},
        )

    async def complete_process_lease(self, completion: ProcessLeaseCompletion) -> None:
        """Release by token; another token is silent success. Works after expiry while unclaimed. Safe to repeat."""
        stored = await self._rows.registration(completion.process_id)
        if stored is None:
            return
        release = (completion.process_id, "", completion.lease_token)
        await self._context.scripts.run(
            [self._release_call(self._keys(completion.process_id), [_Release(release, stored.registration.queue)])]
        )

    async def release_process_leases(self, releases: Sequence[LeasedRelease]) -> tuple[BatchOutcome, ...]:
        """Give leases back before a terminal event, with the reason and the time of the next claim.

        A row that is given back as parked becomes due by events, promises and ends that it waits for (docs/adr/0041).
        Fenced, atomic per item, one script call a partition, safe to repeat.
        """
        groups = self._by_partition([release.lease.process_id for release in releases])
        calls: list[Call] = []
        for keys, group in groups:
            items: list[_Release] = []
            for place in group:
                item, lease = releases[place], releases[place].lease
                named = (lease.process_id, fence_argument(lease), lease.lease_token)
                items.append(_Release(named, lease.queue, item.reason, item.first_started))
            calls.append(self._release_call(keys, items))
        outcomes: list[BatchOutcome | None] = [None] * len(releases)
        replies = await self._context.scripts.run(calls, durable=True) if calls else []
        for (_, group), words in zip(groups, replies, strict=True):
            for place, reply in zip(group, words, strict=True):
                lease = releases[place].lease
                word, _, detail = str(reply).partition(" ")
                error = lease_answer(lease.process_id, word, detail)
                if error is None:
                    self._writes.forget(lease)
                outcomes[place] = BatchOutcome(lease.process_id, error)
        return tuple(outcome for outcome in outcomes if outcome is not None)

    def _release_call(self, keys: PartitionKeys, releases: Sequence[_Release]) -> Call:
        script_keys = [keys.owners, keys.leases, keys.marks, keys.notices, keys.meta, keys.changes]
        args: list[str | int] = [self._context.settings.limits.notices_max]
        for release in releases:
            process_id = release.named[0]
            script_keys += [keys.control(process_id), keys.audit(process_id), keys.ready(release.queue)]
            args += release.args()
        return Call("release_process_leases", tuple(script_keys), tuple(args))

    async def get_process_lease(self, process_id: str) -> ProcessLease | None:
        """The raw lease, maybe expired; None when released, never claimed or unknown."""
        keys = self._keys(process_id)
        control = keys.control(process_id)
        own, expiry, writes = await self._context.connection.read(
            [
                Command(keys.owners, ("HGET", keys.owners, process_id)),
                Command(keys.leases, ("ZSCORE", keys.leases, process_id)),
                Command(control, ("HGET", control, "wn")),
            ]
        )
        if own is None or expiry is None:
            return None
        stored = parse_own(own, key=keys.owners)
        identity = (
            await self._context.connection.read(
                [Command(keys.identities, ("HGET", keys.identities, stored.owner_digest))]
            )
        )[0]
        return decode_lease(process_id, stored, int(float(expiry)), identity, int(writes or 0))


@dataclass(frozen=True, slots=True)
class _Release:
    """One release as the script takes it. ``named``: process id, fence ('' = the token decides), token."""

    named: tuple[str, str, str]
    queue: str
    reason: ReleaseReason | None = None
    first_started: ProcessStarted | None = None

    def args(self) -> list[str | int]:
        kind, due, audit, detail, seen = "released", "", "", '""', ""
        if (reason := self.reason) is not None:
            kind, audit, detail = reason.kind, _RELEASE_AUDIT.get(reason.kind, ""), json.dumps(reason.detail[:500])
            due = "" if reason.due_in_ms is None else "inf" if reason.due_in_ms < 0 else str(reason.due_in_ms)
            seen = reason.marks_seen or ""
        started = {} if self.first_started is None else encode_first_started(self.first_started)
        pairs = [part for pair in started.items() for part in pair]
        return [*self.named, kind, due, audit, detail, release_id(self.named[2]), seen, len(started), *pairs]


def release_id(token: str) -> str:
    """Names the one release of a lease, so that its repeat is known, also when the caller repeats it."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]
