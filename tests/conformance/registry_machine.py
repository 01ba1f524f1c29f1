"""A random walk over the registry: the same calls to two stores, with good, stale and forged leases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.event import ProcessEventAppendRequest
from lash_core.model.facts import AbandonRequest, ProcessExternalRef, ProcessHandleDescriptor, ProcessStarted
from lash_core.model.lease import Acquired, ProcessLease, ProcessLeaseCompletion, ReleaseReason
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_filter import ProcessFilter
from lash_core.model.process_input import ProcessIdentity, ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import CompletionAuthority
from lash_core.model.scope import SessionScope
from lash_core.store.process_batches import LeasedCompletion, LeasedRelease
from lash_core.store.process_registry import ProcessRegistry
from lash_core.testing.conformance.process_registry.arrange import (
    OUTPUTS,
    event,
    external,
    note,
    owner_bound,
    registration,
    unique,
)
from lash_core.testing.conformance.process_registry.handovers import segment
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from tests.conformance.paired_stores import PairedLease, PairedStores

TTL_MS = 60_000
DELAY_MS = 40_000
# No sum of these steps comes near a TTL, a delay or a back-off, so that real time between two calls cannot matter.
STEPS_MS = (25_000, 70_000)

NUMBERS = st.integers(0, 2)
STATES = st.sampled_from(sorted(OUTPUTS))
BUILDERS: dict[str, Callable[..., ProcessRegistration]] = {
    "rerunnable": registration,
    "owner_bound": owner_bound,
    "external": external,
}
AUTHORITIES = {
    "external": CompletionAuthority.external_owner("jenkins"),
    "workflow": CompletionAuthority.for_workflow_key("orders"),
    "reconciled": CompletionAuthority.reconciled_abandon(),
}
RELEASES = (
    ReleaseReason(),
    ReleaseReason(kind="yielded", detail="drain"),
    ReleaseReason(kind="parked", due_in_ms=-1),
    ReleaseReason(kind="parked", due_in_ms=DELAY_MS),
    ReleaseReason(kind="declined", due_in_ms=DELAY_MS, detail="unknown kind"),
    ReleaseReason(kind="released", due_in_ms=DELAY_MS),
)
EVENTS = (
    ("note", {"n": 1}),
    ("note", {"n": 2}),
    ("ping", {"text": "x"}),
    ("measured", {"n": 1}),
    ("measured", {}),
    ("finished", {"n": 1}),
    ("broken", {"why": "x"}),
    ("undeclared", {}),
)


class RegistryMachine(RuleBasedStateMachine):
    """Rules are the verbs of the contract; after each step all rows, leases and logs of both stores are compared."""

    pair: PairedStores
    """Set by the test before the walk."""

    leases = Bundle("leases")

    @initialize(builders=st.lists(st.sampled_from(sorted(BUILDERS)), min_size=3, max_size=3))
    def begin(self, builders: list[str]) -> None:
        """Rows of its own for this walk: the stores are shared by all."""
        stem = unique("walk")
        self.ids = [f"{stem}-{n}" for n in range(3)]
        self.queues = [f"{stem}-q{n}" for n in range(2)]
        self.kind = f"{stem}-kind"
        self.scopes = [SessionScope(session_id=f"{stem}-s{n}") for n in range(2)]
        self.owners = [LeaseOwnerIdentity.opaque(f"{stem}-w{n}", f"{stem}-i{n}") for n in range(2)]
        self.fences: dict[tuple[int, str], int] = {}
        for n, builder in enumerate(builders):
            self.register(n, builder, 1, delayed=False)

    def _both(self, verb: Callable[[ProcessRegistry], Awaitable[Any]]) -> tuple[Any, Any]:
        return self.pair.call("call", lambda registry, _: verb(registry))

    def _leased(
        self, lease: PairedLease, verb: Callable[[ProcessRegistry, ProcessLease], Awaitable[Any]]
    ) -> tuple[Any, Any]:
        return self.pair.call("leased call", lambda registry, side: verb(registry, (lease.left, lease.right)[side]))

    def _risen(self, lease: PairedLease) -> PairedLease:
        for side, item in enumerate((lease.left, lease.right)):
            key = (side, item.process_id)
            assert item.fencing_token >= self.fences.get(key, 0), "a fence fell"
            self.fences[key] = item.fencing_token
        return lease

    # -- rows ------------------------------------------------------------------------------------

    def register(self, n: int, builder: str, payload: int, *, delayed: bool) -> None:
        """Two equal starts in one batch."""
        changes: dict[str, Any] = {"queue": self.queues[n % 2], "identity": ProcessIdentity(kind=self.kind)}
        if payload == 2:
            changes["input"] = ProcessInput.external({"v": 2}) if builder == "external" else ProcessInput.engine("x", 2)
        if delayed:
            changes["delay_ms"] = DELAY_MS
        changes["wake_target"] = self.scopes[0] if n == 0 else None
        wanted = BUILDERS[builder](self.ids[n], **changes)
        self._both(lambda registry: registry.register_processes([wanted, wanted]))

    @rule(n=NUMBERS, builder=st.sampled_from(sorted(BUILDERS)), payload=st.integers(1, 2), delayed=st.booleans())
    def start(self, n: int, builder: str, payload: int, delayed: bool) -> None:
        """Start, start again, or start with other content."""
        self.register(n, builder, payload, delayed=delayed)

    @rule(milliseconds=st.sampled_from(STEPS_MS))
    def time_passes(self, milliseconds: int) -> None:
        """Leases lapse, delays and back-offs end."""
        self.pair.elapse(milliseconds)

    @rule(die=st.integers(0, 4))
    def prune(self, die: int) -> None:
        """Everything of this walk that has ended; not too often, so that ended rows are met too."""
        if die:
            return
        chosen = ProcessFilter(status="any", identity_kind=self.kind)
        self._both(lambda registry: registry.prune_terminal_processes(2**53, chosen))

    # -- leases ----------------------------------------------------------------------------------

    @rule(target=leases, n=NUMBERS, owner=st.integers(0, 1))
    def claim(self, n: int, owner: int) -> Any:
        """Claim by name."""
        left, right = self._both(lambda registry: registry.claim_process_lease(self.ids[n], self.owners[owner], TTL_MS))
        if isinstance(left, Acquired) and isinstance(right, Acquired):
            return self._risen(PairedLease(left.lease, right.lease))
        return multiple()

    @rule(target=leases, owner=st.integers(0, 1), both=st.booleans())
    def claim_ready(self, owner: int, both: bool) -> Any:
        """Everything that is due, in one or two queues; the order is the store's own."""
        queues = self.queues if both else self.queues[:1]
        # A claim may give back what has expired in other queues too; after this there is nothing of the kind.
        self._both(lambda registry: registry.requeue_expired_leases(50, self.queues))

        async def claim(registry: ProcessRegistry) -> list[Any]:
            found = [
                item
                for _ in range(3)
                for item in await registry.claim_ready_processes(self.owners[owner], 10, TTL_MS, queues)
            ]
            return sorted(found, key=lambda item: item.lease.process_id)

        left, right = self._both(claim)
        return multiple(*(self._risen(PairedLease(one.lease, two.lease)) for one, two in zip(left, right, strict=True)))

    @rule(target=leases, lease=leases, how=st.integers(0, 4))
    def forge(self, lease: PairedLease, how: int) -> PairedLease:
        """A lease that nobody gave."""
        match how:
            case 0:
                return lease.with_changes(lease_token="forged")
            case 1:
                return lease.with_fence_moved(1)
            case 2:
                return lease.with_fence_moved(-1)
            case 3:
                return lease.with_changes(owner=self.owners[0].with_incarnation("forged"))
            case _:
                return lease.with_changes(fenced_writes=99)

    @rule(lease=leases)
    def renew(self, lease: PairedLease) -> None:
        """One lease twice in a batch, then alone."""
        self._leased(lease, lambda registry, mine: registry.renew_process_leases([mine], TTL_MS))
        self._leased(lease, lambda registry, mine: registry.renew_process_lease(mine, TTL_MS))

    @rule(lease=leases, reason=st.sampled_from(RELEASES))
    def release(self, lease: PairedLease, reason: ReleaseReason) -> None:
        """Give back, and repeat it."""
        for _ in range(2):
            self._leased(lease, lambda registry, mine: registry.release_process_leases([LeasedRelease(mine, reason)]))

    @rule(lease=leases)
    def release_by_token(self, lease: PairedLease) -> None:
        """Give back by token."""
        self._leased(
            lease,
            lambda registry, mine: registry.complete_process_lease(ProcessLeaseCompletion.from_lease(mine)),
        )

    @rule(target=leases, lease=leases, owner=st.integers(0, 1))
    def reclaim(self, lease: PairedLease, owner: int) -> Any:
        """Take over what may or may not be free; without proof a live holder stays."""
        left, right = self._leased(
            lease,
            lambda registry, mine: registry.reclaim_process_lease(mine.process_id, self.owners[owner], mine, TTL_MS),
        )
        if isinstance(left, Acquired) and isinstance(right, Acquired):
            return self._risen(PairedLease(left.lease, right.lease))
        return multiple()

    @rule(queue=st.integers(0, 1))
    def requeue(self, queue: int) -> None:
        """Expired leases go back."""
        self._both(lambda registry: registry.requeue_expired_leases(50, (self.queues[queue],)))

    # -- events and ends -------------------------------------------------------------------------

    @rule(n=NUMBERS, which=st.sampled_from(EVENTS), key=st.sampled_from((None, "k1", "k2")))
    def append(self, n: int, which: tuple[str, Any], key: str | None) -> None:
        """An event from outside."""
        self._both(lambda registry: registry.append_event(self.ids[n], event(*which, key)))

    @rule(lease=leases, which=st.sampled_from(EVENTS), key=st.sampled_from((None, "k1", "k2")))
    def append_leased(self, lease: PairedLease, which: tuple[str, Any], key: str | None) -> None:
        """An event of a run, maybe of one that has lost its lease, alone and in a batch."""
        batch = [note("a", key), event(*which, None if key is None else key + "b")]
        self._leased(
            lease, lambda registry, mine: registry.append_event(mine.process_id, event(*which, key), lease=mine)
        )
        self._leased(lease, lambda registry, mine: registry.append_events(mine.process_id, batch, lease=mine))

    @rule(n=NUMBERS, reason=st.sampled_from((None, "stop")), by=st.sampled_from((None, "ops", "boss")))
    def cancel(self, n: int, reason: str | None, by: str | None) -> None:
        """A cancel request."""
        request = ProcessEventAppendRequest.cancel_requested(self.ids[n], reason, requested_by=by)
        self._both(lambda registry: registry.append_event(self.ids[n], request))

    @rule(n=NUMBERS, signal_id=st.sampled_from(("s1", "s2")))
    def signal(self, n: int, signal_id: str) -> None:
        """A signal."""
        request = ProcessEventAppendRequest.signal(self.ids[n], "approve", {"by": "a"}, signal_id=signal_id)
        self._both(lambda registry: registry.append_event(self.ids[n], request))

    @rule(lease=leases, state=STATES, started=st.booleans())
    def complete(self, lease: PairedLease, state: str, started: bool) -> None:
        """The end by the run."""
        output: AnyAwaitOutput = OUTPUTS[state]
        fact = ProcessStarted(owner=self.owners[0], started_at_ms=7) if started else None
        self._leased(
            lease,
            lambda registry, mine: registry.complete_processes_with_lease([LeasedCompletion(mine, output, fact)]),
        )

    @rule(n=NUMBERS, state=STATES, authority=st.sampled_from(sorted(AUTHORITIES)))
    def complete_by_authority(self, n: int, state: str, authority: str) -> None:
        """The end by somebody else."""
        self._both(lambda registry: registry.complete_process(self.ids[n], OUTPUTS[state], AUTHORITIES[authority]))

    # -- facts -----------------------------------------------------------------------------------

    @rule(lease=leases, fenced=st.booleans(), what=st.integers(0, 4), at=st.integers(1, 2))
    def fact(self, lease: PairedLease, fenced: bool, what: int, at: int) -> None:
        """What a run writes beside events."""

        async def write(registry: ProcessRegistry, mine: ProcessLease) -> Any:
            process_id, given = mine.process_id, mine if fenced else None
            match what:
                case 0:
                    return await registry.set_wait(process_id, wait_for(process_id, at), lease=given)
                case 1:
                    return await registry.clear_wait(process_id, lease=given)
                case 2:
                    started = ProcessStarted(owner=self.owners[at - 1], started_at_ms=at)
                    return await registry.record_first_started(process_id, started, lease=given)
                case 3:
                    return await registry.put_handover(process_id, segment(at, b"x"), lease=given)
                case _:
                    return await registry.mark_cancel_seen(mine)

        self._leased(lease, write)

    @rule(n=NUMBERS, what=st.integers(0, 1), at=st.integers(1, 2))
    def outside_fact(self, n: int, what: int, at: int) -> None:
        """What others write."""
        process_id = self.ids[n]
        if what == 0:
            request = AbandonRequest(requested_by=f"ops{at}", requested_at_ms=at)
            self._both(lambda registry: registry.request_abandon(process_id, request))
        else:
            reference = ProcessExternalRef(backend="ci", id=str(at))
            self._both(lambda registry: registry.set_external_ref(process_id, reference))

    @rule(n=NUMBERS, what=st.integers(0, 3), scope=st.integers(0, 1))
    def handle(self, n: int, what: int, scope: int) -> None:
        """Grants."""
        process_id, mine, other = self.ids[n], self.scopes[scope], self.scopes[1 - scope]
        match what:
            case 0:
                label = ProcessHandleDescriptor(label=str(scope))
                self._both(lambda registry: registry.grant_handle(mine, process_id, label))
            case 1:
                self._both(lambda registry: registry.revoke_handle(mine, process_id))
            case 2:
                self._both(lambda registry: registry.transfer_handles(mine, other, [process_id]))
            case _:
                self._both(lambda registry: registry.delete_session_process_state(mine.session_id))

    # -- comparison ------------------------------------------------------------------------------

    @invariant()
    def both_stores_agree(self) -> None:
        """Rows, leases, logs, counts and grants are the same."""
        if not hasattr(self, "ids"):
            return
        self._both(lambda registry: registry.get_processes(self.ids))
        for process_id in self.ids:
            self._both(lambda registry, process_id=process_id: registry.get_process_lease(process_id))
            self._both(lambda registry, process_id=process_id: registry.events_after(process_id, 0))

    def teardown(self) -> None:
        """What is too slow to compare after each step."""
        if not hasattr(self, "ids"):
            return
        for scope in self.scopes:
            self._both(lambda registry, scope=scope: _handles(registry, scope))
        for process_id in self.ids:
            self._both(lambda registry, process_id=process_id: _audit_kinds(registry, process_id))
            self._both(lambda registry, process_id=process_id: registry.latest_handover(process_id))
        chosen = ProcessFilter(status="any", identity_kind=self.kind)
        self._both(lambda registry: registry.list_processes(chosen))


async def _handles(registry: ProcessRegistry, scope: SessionScope) -> list[tuple[str, str | None]]:
    return [(grant.process_id, grant.descriptor.label) for grant, _ in await registry.list_handles(scope)]


async def _audit_kinds(registry: ProcessRegistry, process_id: str) -> list[str]:
    # When a wake is found to have no session is up to the outbox.
    return [entry.kind for entry in await registry.audit_entries(process_id) if entry.kind != "wake_dropped"]
