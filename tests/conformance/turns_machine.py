"""The random walk with what turns do: inputs, open turns, their journal, commits."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from lash_core.model.queued_work import ClaimBoundary
from lash_core.model.session_commit import CheckpointDraft, GraphUnchanged
from lash_core.model.turn_input import ActiveTurnIngress, NextTurnIngress, TurnInputCancelTarget
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.store.turn_journal import OpenTurn
from lash_core.testing.conformance.effect_journal.arrange import completed, waiting
from lash_core.testing.conformance.session_scene import appending, commit_of, draft, input_draft
from tests.conformance.paired_sessions import Pair
from tests.conformance.sessions_machine import DRAFTS, NUMBERS, PICKS, SOURCES, Draft, SessionsMachine, newest

TURNS = st.sampled_from(("t1", "t2"))
CHECKPOINTS = st.sampled_from(("after_work", "before_completion"))
INGRESS = st.sampled_from(
    (
        NextTurnIngress(),
        ActiveTurnIngress("t1"),
        ActiveTurnIngress("t1", "before_completion"),
        ActiveTurnIngress("t2"),
    )
)
TEXTS = st.sampled_from(("x", "y"))
NODES = st.sampled_from(("a", "b", "c", None))


class TurnsMachine(SessionsMachine):
    """Beside leases and queues, inputs, turns and commits of both stores are compared."""

    @initialize()
    def begin_inputs(self) -> None:
        """Nothing is claimed yet."""
        self.input_claims: list[Pair[Any]] = []

    # -- inputs ----------------------------------------------------------------------------------------

    @rule(n=NUMBERS, text=TEXTS, ingress=INGRESS, source=SOURCES)
    def put_in(self, n: int, text: str, ingress: Any, source: str | None) -> None:
        """An input, maybe a repeat, maybe one that contradicts."""
        wanted = input_draft(self.ids[n], text, ingress, source_key=source)
        self.both(n, lambda store: store.enqueue_pending_turn_input(wanted))

    @rule(n=NUMBERS, source=st.sampled_from(("a", "b", "absent")), suffix=st.booleans())
    def cancel_input(self, n: int, source: str, suffix: bool) -> None:
        """By source key: alone, or with all that came later."""
        target, session_id = TurnInputCancelTarget(source_key=source), self.ids[n]
        if suffix:
            self.both(n, lambda store: store.cancel_pending_turn_input_suffix(session_id, target))
        else:
            self.both(n, lambda store: store.cancel_pending_turn_inputs(session_id, [target, target]))

    @rule(n=NUMBERS, pick=PICKS, turn=TURNS, checkpoint=CHECKPOINTS, what=st.integers(0, 2), more=INGRESS)
    def claim_inputs(self, n: int, pick: int, turn: str, checkpoint: Any, what: int, more: Any) -> None:
        """Of a running turn, for the next one, or of both lanes at once; what that takes is settled by nobody."""
        self.put_in(n, "x", more, None)
        lease = self.lease(n, pick)
        if what == 2:
            self.held(lease, lambda store, mine: store.claim_checkpoint_work(mine.fence, turn, checkpoint, 1, 1))
            return
        if what == 1:
            found = self.held(
                lease, lambda store, mine: store.claim_active_turn_inputs(mine.fence, turn, checkpoint, 2)
            )
        else:
            found = self.held(lease, lambda store, mine: store.claim_next_turn_inputs(mine.fence, 2))
        if found.left is not None and not isinstance(found.left, Exception):
            self.input_claims.append(found)

    @rule(pick=PICKS)
    def abandon_inputs(self, pick: int) -> None:
        """Twice."""
        for claim in newest(self.input_claims, [pick, pick]):
            self.pair.call(
                "abandon",
                claim.left.session_id,
                lambda store, side, claim=claim: store.abandon_turn_input_claim(claim.of(side)),
            )

    # -- turns -----------------------------------------------------------------------------------------

    @rule(n=NUMBERS, pick=PICKS, turn=TURNS, taken=st.lists(st.integers(0, 5), max_size=2))
    def begin_turn(self, n: int, pick: int, turn: str, taken: list[int]) -> None:
        """With what it was given."""
        lease, batches = self.lease(n, pick), newest(self.batches, taken)

        async def begin(store: RuntimePersistence, side: int) -> Any:
            batch_ids = tuple(dict.fromkeys(batch.of(side).batch_id for batch in batches))
            noted = OpenTurn(turn, facts={"n": len(taken)}, batch_ids=batch_ids)
            return await store.open_turn(lease.of(side).fence, noted)

        self.pair.call("open_turn", lease.left.session_id, begin)

    @rule(
        n=NUMBERS,
        pick=PICKS,
        turn=TURNS,
        value=st.integers(0, 1),
        asked=st.sampled_from(("a", "b")),
        taken=st.lists(st.integers(0, 5), max_size=1),
    )
    def record(self, n: int, pick: int, turn: str, value: int, asked: str, taken: list[int]) -> None:
        """Effects, some of them recorded before."""
        self.begin_turn(n, pick, turn, [])
        lease, batches = self.lease(n, pick), newest(self.batches, taken)
        writes = [completed("k", value, asked=asked), waiting("w", 5_000), completed(f"k{value}", value)]

        async def record(store: RuntimePersistence, side: int) -> Any:
            batch_ids = [batch.of(side).batch_id for batch in batches]
            return await store.record_turn_effects(lease.of(side).fence, turn, writes, taken_batch_ids=batch_ids)

        self.pair.call("record", lease.left.session_id, record)

    @rule(n=NUMBERS, turn=TURNS)
    def look_at_turn(self, n: int, turn: str) -> None:
        """Its journal and its stamp."""

        async def look(store: RuntimePersistence) -> Any:
            effects = await store.load_turn_effects(self.ids[n], turn)
            stamp = await store.find_turn_stamp(self.ids[n], turn)
            stamped = await store.list_stamped_turns(self.ids[n], 0, 1)
            return [sorted(effects, key=lambda record: record.key), stamp, stamped]

        self.both(n, look)

    # -- commits ---------------------------------------------------------------------------------------

    @rule(
        n=NUMBERS,
        pick=PICKS,
        settled=st.tuples(st.lists(st.integers(0, 3), max_size=2), st.lists(st.integers(0, 2), max_size=1)),
        node=NODES,
        turn=st.sampled_from((None, "t1", "t2")),
        how=st.tuples(st.sampled_from((None, None, 0, 1)), st.booleans(), SOURCES),
        more=st.lists(DRAFTS, max_size=1),
    )
    def commit(
        self, n: int, pick: int, settled: Any, node: str | None, turn: str | None, how: Any, more: list[Draft]
    ) -> None:
        """Everything at once, with claims of whoever."""
        expected, release, source = how
        if more:
            self.claim_group(n, pick, ClaimBoundary.IDLE, 2, more)
        lease = self.lease(n, pick)
        session_id = lease.left.session_id
        work = newest(_of(self.claims, session_id), settled[0])
        inputs = newest(_of(self.input_claims, session_id), settled[1])

        async def commit(store: RuntimePersistence, side: int) -> Any:
            mine = lease.of(side)
            wanted = commit_of(
                store,
                mine,
                expected_head_revision=expected,
                graph=GraphUnchanged() if node is None else appending(node),
                checkpoint=CheckpointDraft(execution_state=None if node is None else {"n": node}),
                usage_deltas=(TokenLedgerEntry("turn", "m", TokenUsage(input=1)),),
                completed_queue_claims=tuple(claim.of(side).completion for claim in work),
                completed_turn_input_claims=tuple(claim.of(side).completion for claim in inputs),
                enqueued_queue_batches=(draft(session_id, "out", source_key=source),) if source else (),
                interrupted_turn_input_turn_id=turn,
                release_session_execution_lease=mine.completion if release else None,
            )
            return await store.commit_runtime_state(wanted if turn is None else wanted.stamped(turn))

        self.pair.call("commit", session_id, commit)

    @rule(n=NUMBERS, node=st.sampled_from(("a", "b", "c")), sweep=st.booleans())
    def hide(self, n: int, node: str, sweep: bool) -> None:
        """Tombstones, and now and then a vacuum."""
        self.both(n, lambda store: store.tombstone_nodes([node, "absent"]))
        if sweep:
            self.both(n, lambda store: store.vacuum())
            self.both(n, lambda store: store.gc_unreachable())


def _of(claims: list[Pair[Any]], session_id: str) -> list[Pair[Any]]:
    return [claim for claim in claims if claim.left.session_id == session_id]
