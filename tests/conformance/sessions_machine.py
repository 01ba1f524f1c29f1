"""A random walk over sessions: leases, queue, inputs, open turns and commits, with good, stale and forged leases."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.queued_work import ClaimBoundary, DeliveryPolicy, MergeKey, QueuedWorkBatch, SlotPolicy
from lash_core.model.session_lease import SessionExecutionLease, SessionLeaseAcquired
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.session_scene import (
    command_draft,
    draft,
    factory_of,
    ready_sessions_of,
)
from tests.conformance.paired_sessions import Pair, PairedSessions

TTL_MS = 60_000
DELAY_MS = 40_000
# No sum of these steps comes near a TTL, a delay or a back-off, so that real time between two calls cannot matter.
STEPS_MS = (25_000, 70_000)

OFTEN = 6
"""Of ten picks so many are of the live lease."""
NUMBERS = st.integers(0, 1)
BOUNDARIES = st.sampled_from(tuple(ClaimBoundary))
SOURCES = st.sampled_from((None, None, "a", "b"))
PICKS = st.integers(0, 9)
"""Which of what there was: mostly the newest, sometimes an older or a forged one."""
Leases = Pair[SessionExecutionLease]
Draft = tuple[str, str | None, dict[str, Any]]
DRAFTS = st.tuples(
    st.sampled_from(("now", "now", "now", "later", "command")),
    SOURCES,
    st.fixed_dictionaries(
        {
            "slot_policy": st.sampled_from((SlotPolicy.JOIN, SlotPolicy.JOIN, SlotPolicy.EXCLUSIVE)),
            "delivery_policy": st.sampled_from(tuple(DeliveryPolicy)),
            "merge_key": st.sampled_from((MergeKey(), MergeKey(), MergeKey.of_group("g"))),
        }
    ),
)
SOME_DRAFTS = st.lists(DRAFTS, max_size=3)


class SessionsMachine(RuleBasedStateMachine):
    """Rules are the verbs of leases and queue; after each step everything both stores tell is compared."""

    pair: PairedSessions
    """Set by the test before the walk."""

    @initialize()
    def begin(self) -> None:
        """Sessions of its own for this walk: the stores are shared by all."""
        stem = unique("walk")
        self.ids = [f"{stem}-s{n}" for n in range(2)]
        self.owners = [LeaseOwnerIdentity.opaque(f"{stem}-w{n}", f"{stem}-i{n}") for n in range(2)]
        self.fences: dict[tuple[int, str], int] = {}
        self.elapsed_ms = 0
        self.leases: list[Leases] = []
        self.batches: list[Pair[QueuedWorkBatch]] = []
        self.claims: list[Pair[Any]] = []
        for session_id in self.ids:
            self.pair.open(session_id)

    def both(self, n: int, verb: Callable[[RuntimePersistence], Awaitable[Any]]) -> Pair[Any]:
        """Call the stores of session ``n``."""
        return self.pair.call("call", self.ids[n], lambda store, _: verb(store))

    def held(self, lease: Leases, verb: Callable[[RuntimePersistence, SessionExecutionLease], Awaitable[Any]]) -> Any:
        """Call the stores of a lease's session, each with its own lease."""
        return self.pair.call("leased call", lease.left.session_id, lambda store, side: verb(store, lease.of(side)))

    def risen(self, left: SessionExecutionLease, right: SessionExecutionLease) -> None:
        """Leases that were given: their fences never fall."""
        for side, lease in enumerate((left, right)):
            key = (side, lease.session_id)
            assert lease.fencing_token >= self.fences.get(key, 0), "a fence fell"
            self.fences[key] = lease.fencing_token
        self.leases.append(Pair(left, right))

    def acquired(self, found: Pair[Any]) -> None:
        """Keep the pair of leases, if they were given."""
        if isinstance(found.left, SessionLeaseAcquired) and isinstance(found.right, SessionLeaseAcquired):
            self.risen(found.left.lease, found.right.lease)

    def lease(self, n: int, pick: int) -> Leases:
        """Mostly one that holds session ``n`` now; else an older one of any session, or a forged one."""
        if pick < OFTEN or not self.leases:
            self.claim(n, 0)
        if not self.leases:
            return self._nobodys(n)
        if pick < OFTEN:
            mine = [lease for lease in self.leases if lease.left.session_id == self.ids[n]]
            return mine[-1] if mine else self.leases[-1]
        return self.forged(self.leases[-(pick % len(self.leases)) - 1], pick)

    def _nobodys(self, n: int) -> Leases:
        lease = SessionExecutionLease(
            session_id=self.ids[n],
            owner=self.owners[0],
            lease_token="0123456789abcdef",
            fencing_token=1,
            claimed_at_ms=1,
            expires_at_ms=2,
        )
        return Pair(lease, lease)

    def forged(self, lease: Leases, how: int) -> Leases:
        """A lease as it was given, or one that nobody gave."""
        match how:
            case 6:
                return lease.changed(lease_token="0123456789abcdef")
            case 7 | 8:
                by = 1 if how == 7 else -1
                moved = [one.model_copy(update={"fencing_token": one.fencing_token + by}) for one in _sides(lease)]
                return Pair(moved[0], moved[1])
            case 9:
                return lease.changed(owner=self.owners[0].with_incarnation("forged"))
            case _:
                return lease

    # -- time, sessions --------------------------------------------------------------------------------

    @rule(milliseconds=st.sampled_from(STEPS_MS))
    def time_passes(self, milliseconds: int) -> None:
        """Leases lapse, delays and back-offs end."""
        self.elapsed_ms += milliseconds
        self.pair.elapse(milliseconds)

    @rule(n=NUMBERS, die=st.integers(0, 19))
    def delete(self, n: int, die: int) -> None:
        """A session goes, and may come back under its name."""
        if die > 1:
            return
        self.pair.call_sides("delete", lambda stores, _: factory_of(stores).delete_session(self.ids[n]))
        if die == 0:
            self.pair.open(self.ids[n])

    @rule(n=NUMBERS)
    def create(self, n: int) -> None:
        """Made once; what is there stays."""
        self.pair.open(self.ids[n])

    # -- leases ----------------------------------------------------------------------------------------

    @rule(n=NUMBERS, by=NUMBERS)
    def claim(self, n: int, by: int) -> None:
        """By name."""
        session_id, me = self.ids[n], self.owners[by]
        self.acquired(self.both(n, lambda store: store.try_claim_session_execution_lease(session_id, me, TTL_MS)))

    @rule(by=NUMBERS)
    def claim_ready(self, by: int) -> None:
        """By the fleet."""

        async def claim(stores: Any, _: int) -> list[Any]:
            found = await ready_sessions_of(stores).claim_ready_sessions(self.owners[by], 64, TTL_MS)
            return sorted(found, key=lambda ready: ready.lease.session_id)

        found = self.pair.call_sides("claim_ready_sessions", claim)
        for one, two in zip(found.left, found.right, strict=True):
            self.risen(one.lease, two.lease)

    @rule(n=NUMBERS, pick=PICKS, by=NUMBERS, what=st.sampled_from(("renew", "release", "reclaim", "defer", "expire")))
    def hold(self, n: int, pick: int, by: int, what: str) -> None:
        """What becomes of a lease: renewed, released twice, taken over, deferred, ended for a dead owner."""
        lease, me = self.lease(n, pick), self.owners[by]
        match what:
            case "renew":
                self.held(lease, lambda store, mine: store.renew_session_execution_lease(mine.fence, TTL_MS))
            case "release":
                for _ in range(2):
                    self.held(lease, lambda store, mine: store.release_session_execution_lease(mine.completion))
            case "reclaim":
                self.acquired(
                    self.held(
                        lease,
                        lambda store, mine: store.reclaim_session_execution_lease(
                            mine.session_id, me, mine.fence, TTL_MS
                        ),
                    )
                )
            case _:
                self.pair.call_sides(what, lambda stores, side: _end(stores, lease.of(side), what))

    # -- queue -----------------------------------------------------------------------------------------

    @rule(n=NUMBERS, wanted=DRAFTS)
    def enqueue(self, n: int, wanted: Draft) -> None:
        """Work, now or later, and commands."""
        kind, source, facts = wanted
        if kind == "later":
            facts = {**facts, "available_at_ms": time.time_ns() // 1_000_000 + self.elapsed_ms + DELAY_MS}
        made = draft(self.ids[n], unique("text"), source_key=source, **facts)
        made = command_draft(self.ids[n], source or unique("key")) if kind == "command" else made
        found = self.both(n, lambda store: store.enqueue_queued_work(made))
        if isinstance(found.left, QueuedWorkBatch):
            self.batches.append(found)

    @rule(n=NUMBERS, pick=PICKS, wanted=DRAFTS)
    def cancel(self, n: int, pick: int, wanted: Draft) -> None:
        """What may be queued, held, settled or of a session that is gone."""
        self.enqueue(n, wanted)
        for batch in newest(self.batches, [pick]):
            self.pair.call(
                "cancel",
                batch.left.session_id,
                lambda store, side, batch=batch: store.cancel_queued_work_batch(
                    batch.left.session_id, batch.of(side).batch_id
                ),
            )

    @rule(n=NUMBERS, pick=PICKS, boundary=BOUNDARIES, most=st.sampled_from((0, 1, 2, 64)), more=SOME_DRAFTS)
    def claim_group(self, n: int, pick: int, boundary: ClaimBoundary, most: int, more: list[Draft]) -> None:
        """The head of the queue, which has grown."""
        for wanted in more:
            self.enqueue(n, wanted)
        lease = self.lease(n, pick)
        self.keep(self.held(lease, lambda store, mine: store.claim_ready_queued_work(mine.fence, boundary, most)))

    @rule(n=NUMBERS, pick=PICKS, more=SOME_DRAFTS)
    def claim_command(self, n: int, pick: int, more: list[Draft]) -> None:
        """A leading command."""
        for wanted in more:
            self.enqueue(n, wanted)
        lease = self.lease(n, pick)
        self.keep(self.held(lease, lambda store, mine: store.claim_leading_ready_session_command(mine.fence)))

    @rule(n=NUMBERS, pick=PICKS, boundary=BOUNDARIES, wanted=st.lists(st.integers(0, 5), max_size=3), more=SOME_DRAFTS)
    def claim_exact(self, n: int, pick: int, boundary: ClaimBoundary, wanted: list[int], more: list[Draft]) -> None:
        """These and no others."""
        for one in more:
            self.enqueue(n, one)
        lease = self.lease(n, pick)
        batches = newest([batch for batch in self.batches if batch.left.session_id == self.ids[n]], wanted)

        async def claim(store: RuntimePersistence, side: int) -> Any:
            batch_ids = [batch.of(side).batch_id for batch in batches]
            return await store.claim_ready_queued_work_by_batch_ids(lease.of(side).fence, boundary, batch_ids)

        self.keep(self.pair.call("claim_exact", lease.left.session_id, claim))

    @rule(pick=PICKS)
    def abandon(self, pick: int) -> None:
        """Twice."""
        for claim in newest(self.claims, [pick, pick]):
            self.pair.call(
                "abandon",
                claim.left.session_id,
                lambda store, side, claim=claim: store.abandon_queued_work_claim(claim.of(side)),
            )

    def keep(self, found: Pair[Any]) -> None:
        """Remember a claim, if it was given."""
        if found.left is not None and not isinstance(found.left, Exception):
            self.claims.append(found)

    # -- comparison ------------------------------------------------------------------------------------

    @invariant()
    def both_stores_agree(self) -> None:
        """Leases, queues, inputs, histories and open turns are the same."""
        for n, session_id in enumerate(getattr(self, "ids", ())):
            self.both(n, lambda store, session_id=session_id: _everything(store, session_id))

    def teardown(self) -> None:
        """A walk leaves nothing that is ready for another one's fleet."""
        for session_id in getattr(self, "ids", ()):
            self.pair.call_sides(
                "delete", lambda stores, _, session_id=session_id: factory_of(stores).delete_session(session_id)
            )


def _sides(lease: Leases) -> tuple[SessionExecutionLease, SessionExecutionLease]:
    return lease.left, lease.right


def newest(log: Sequence[Pair[Any]], picks: Sequence[int]) -> list[Pair[Any]]:
    """Entries counted from the newest; none of an empty log."""
    return [log[-(pick % len(log)) - 1] for pick in picks] if log else []


async def _end(stores: Any, lease: SessionExecutionLease, what: str) -> Any:
    ready = ready_sessions_of(stores)
    return await (ready.defer_session(lease, DELAY_MS) if what == "defer" else ready.expire_session_leases([lease]))


async def _everything(store: RuntimePersistence, session_id: str) -> list[Any]:
    return [
        await store.get_session_execution_lease(session_id),
        await store.list_queued_work(session_id),
        await store.list_pending_queued_work(session_id),
        await store.list_pending_turn_inputs(session_id),
        await store.load_open_turn(session_id),
        await store.load_session(),
    ]
