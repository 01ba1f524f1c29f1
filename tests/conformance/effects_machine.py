"""The random walk with what runs keep beside their row: journals, promises, waits, watchers, retries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, multiple, rule

from lash_core.model.await_event import Resolution
from lash_core.model.effect_record import ChildStart, EffectClaimed, EffectWrite
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.facts import ProcessStarted
from lash_core.model.lease import ProcessLease, ReleaseReason
from lash_core.model.process_input import ProcessIdentity
from lash_core.store.process_batches import LeasedRelease
from lash_core.testing.conformance.await_events.arrange import gate_of, key_of
from lash_core.testing.conformance.effect_journal.arrange import completed, ended, failed, starting, waiting
from lash_core.testing.conformance.process_registry.arrange import registration
from lash_core.testing.conformance.process_registry.set_wait import wait_for
from lash_core.testing.conformance.run_waits.arrange import approval
from lash_core.testing.conformance.stores import EffectStores, run_waits
from tests.conformance.paired_stores import PairedLease
from tests.conformance.registry_machine import DELAY_MS, NUMBERS, TTL_MS, RegistryMachine

KEYS = ("a", "b", "process:x:step:y")
RESOLUTIONS = (Resolution.ok({"n": 1}), Resolution.ok(None), Resolution.err("c", "m"), Resolution.cancelled())
WRITES = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 7), NUMBERS), min_size=1, max_size=3)
LARGE = "x" * 20_000


class EffectsMachine(RegistryMachine):
    """Beside rows, leases and logs, all journals and promises of both stores are compared after each step."""

    claims = Bundle("claims")

    @property
    def operation(self) -> ExecutionScope:
        """A runtime operation of this walk."""
        return ExecutionScope.runtime_operation(f"{self.kind}-op")

    @property
    def turns(self) -> list[ExecutionScope]:
        """Two turns of one session of this walk."""
        return [ExecutionScope.turn(self.scopes[0].session_id, name) for name in ("t1", "t2")]

    def _stores(self, verb: Callable[[EffectStores], Awaitable[Any]]) -> tuple[Any, Any]:
        return self.pair.call_stores("call", lambda stores, _: verb(stores))

    def _held(
        self, lease: PairedLease, verb: Callable[[EffectStores, ProcessLease], Awaitable[Any]]
    ) -> tuple[Any, Any]:
        sides = (lease.left, lease.right)
        return self.pair.call_stores("leased call", lambda stores, side: verb(stores, sides[side]))

    # -- journals of processes -------------------------------------------------------------------

    @rule(lease=RegistryMachine.leases, what=WRITES, started=st.booleans())
    def record(self, lease: PairedLease, what: Sequence[tuple[str, int, int]], started: bool) -> None:
        """Entries of a run, new and known, of the same and of other requests, twice as after a lost reply."""
        writes = [self._write(*item) for item in what]
        fact = ProcessStarted(owner=self.owners[0], started_at_ms=9) if started else None
        for _ in range(2):
            self._held(
                lease,
                lambda stores, mine: stores.effect_journal.record_effects(mine, writes, first_started=fact),
            )

    def _write(self, key: str, which: int, n: int) -> EffectWrite:
        match which:
            case 0:
                return completed(key, n)
            case 1:
                return failed(key)
            case 2:
                return waiting(key, DELAY_MS)
            case 3:
                return ended(key)
            case 4:
                return completed(key, n, asked="b")
            case 5:
                return completed(key, LARGE)
            case _:
                return starting(key, self._child(n, which))

    def _child(self, n: int, payload: int) -> ChildStart:
        identity = ProcessIdentity(kind=self.kind, label="other" if payload == 7 else None)
        target = self.scopes[0] if n == 0 else None
        wanted = registration(self.ids[n], queue=self.queues[n % 2], identity=identity, wake_target=target)
        return ChildStart(wanted, self.scopes[1] if n == 1 else None)

    # -- effects of scopes without a lease -------------------------------------------------------

    @rule(target=claims, key=st.sampled_from(KEYS), scope=st.integers(0, 2), asked=st.sampled_from("ab"))
    def claim_effect(self, key: str, scope: int, asked: str) -> Any:
        """Claim an effect that may be anywhere."""
        where, write = (self.operation, *self.turns)[scope], waiting(key, DELAY_MS, asked=asked)
        left, right = self._stores(
            lambda stores: stores.effect_journal.claim_effect(where, write, owner="walk", ttl_ms=TTL_MS)
        )
        if isinstance(left, EffectClaimed) and isinstance(right, EffectClaimed):
            return (where, key, asked, (left.token, right.token))
        return multiple()

    @rule(claim=claims, outcome=st.integers(0, 3))
    def finish_effect(self, claim: tuple[ExecutionScope, str, str, tuple[str, str]], outcome: int) -> None:
        """Renew or record under a claim that may be over."""
        scope, key, asked, tokens = claim
        write = replace(ended(key, asked=asked), outcome_json=f'{{"code":"{outcome}"}}')
        if outcome == 0:
            self.pair.call_stores(
                "renew",
                lambda stores, side: stores.effect_journal.renew_effect(scope, key, tokens[side], ttl_ms=TTL_MS),
            )
            return
        for _ in range(2):
            self.pair.call_stores(
                "finalize", lambda stores, side: stores.effect_journal.finalize_effect(scope, write, tokens[side])
            )

    # -- promises --------------------------------------------------------------------------------

    @rule(
        scope=st.integers(0, 5),
        name=st.sampled_from(("p", "q", "gate")),
        what=st.integers(0, 3),
        resolution=st.sampled_from(RESOLUTIONS),
    )
    def promise(self, scope: int, name: str, what: int, resolution: Resolution) -> None:
        """Open, resolve, sweep, or read a promise."""
        where = self._promise_scopes()[scope]
        key = gate_of(where) if name == "gate" else key_of(where, name)
        match what:
            case 0:
                self._stores(lambda stores: stores.promises.open_promise(key))
            case 1 | 2:
                self._stores(lambda stores: stores.promises.resolve_promise(key, resolution))
            case _:
                self._stores(lambda stores: stores.promises.cancel_promises(where))

    @rule(die=st.integers(0, 9))
    def end_session(self, die: int) -> None:
        """Sweep the session, and now and then revoke it for good."""
        session = self.scopes[0].session_id
        self._stores(lambda stores: stores.promises.cancel_session_promises(session))
        if die == 0:
            self._stores(lambda stores: stores.promises.revoke_session_promises(session))
        self._stores(lambda stores: stores.promises.is_revoked(session))

    def _promise_scopes(self) -> list[ExecutionScope]:
        return [*(ExecutionScope.process(process_id) for process_id in self.ids), self.operation, *self.turns]

    # -- waits of runs ---------------------------------------------------------------------------

    @rule(lease=RegistryMachine.leases, ordinal=st.integers(1, 2), what=st.integers(0, 2), since=st.integers(1, 2))
    def signal_wait(self, lease: PairedLease, ordinal: int, what: int, since: int) -> None:
        """Begin or end a wait, twice as after a lost reply."""

        async def write(stores: EffectStores, mine: ProcessLease) -> Any:
            wait, waits = wait_for(mine.process_id, ordinal, since), run_waits(stores)
            if what == 0:
                return await waits.begin_signal_wait(mine.process_id, wait, lease=mine)
            return await waits.end_signal_wait(mine.process_id, wait, lease=mine, received=what == 1)

        for _ in range(2):
            self._held(lease, write)

    @rule(lease=RegistryMachine.leases, between=st.integers(0, 3), due=st.sampled_from((-1, DELAY_MS)))
    def park(self, lease: PairedLease, between: int, due: int) -> None:
        """Look, let something happen or not, and give the row back with the marks of the look."""
        left, right = self._held(lease, _look)
        if not hasattr(left, "marks_seen") or not hasattr(right, "marks_seen"):
            return
        marks = (left.marks_seen, right.marks_seen)
        process_id = lease.left.process_id
        if between == 1:
            self._both(lambda registry: registry.append_event(process_id, approval(process_id, "s3")))
        elif between == 2:
            key = key_of(ExecutionScope.process(process_id), "p")
            self._stores(lambda stores: stores.promises.resolve_promise(key, RESOLUTIONS[0]))
        sides = (lease.left, lease.right)

        async def give_back(stores: EffectStores, side: int) -> Any:
            reason = ReleaseReason(kind="parked", due_in_ms=due, marks_seen=marks[side])
            fact = ProcessStarted(owner=self.owners[0], started_at_ms=11) if between == 3 else None
            return await stores.process_registry.release_process_leases([LeasedRelease(sides[side], reason, fact)])

        for _ in range(2):
            self.pair.call_stores("park", give_back)

    @rule(n=NUMBERS, others=st.lists(NUMBERS, max_size=3))
    def watch(self, n: int, others: list[int]) -> None:
        """A process that may or may not be there watches others."""
        names = [*(self.ids[other] for other in others), "absent"]
        self._stores(lambda stores: run_waits(stores).watch_processes(self.ids[n], names))

    @rule(lease=RegistryMachine.leases, delay=st.sampled_from((0, DELAY_MS)), drop=st.lists(st.sampled_from(KEYS)))
    def retry(self, lease: PairedLease, delay: int, drop: list[str]) -> None:
        """A failed run gives its row back, twice as after a lost reply."""
        for _ in range(2):
            self._held(
                lease,
                lambda stores, mine: run_waits(stores).retry_process(mine, delay_ms=delay, drop=drop, detail="no"),
            )

    # -- comparison ------------------------------------------------------------------------------

    @invariant()
    def journals_and_promises_agree(self) -> None:
        """Everything recorded, and every promise by every name."""
        if not hasattr(self, "ids"):
            return
        for process_id in self.ids:
            self._stores(lambda stores, process_id=process_id: _journal(stores, process_id))
        for scope in self._promise_scopes():
            keys = [key_of(scope, "p"), key_of(scope, "q"), gate_of(scope)]
            for key in keys:
                self._stores(lambda stores, key=key: stores.promises.peek_promise(key))

    def teardown(self) -> None:
        """What is too slow to compare after each step."""
        super().teardown()
        if not hasattr(self, "ids"):
            return
        for scope in (self.operation, *self.turns):
            for key in KEYS:
                self._stores(lambda stores, scope=scope, key=key: stores.effect_journal.find_effect(scope, key))


async def _look(stores: EffectStores, lease: ProcessLease) -> Any:
    keys = [key_of(ExecutionScope.process(lease.process_id), name) for name in ("p", "q")]
    return await run_waits(stores).look_at_run(lease, 1, keys)


async def _journal(stores: EffectStores, process_id: str) -> list[Any]:
    return sorted((await stores.effect_journal.load_effects(process_id)).values(), key=lambda record: record.key)
