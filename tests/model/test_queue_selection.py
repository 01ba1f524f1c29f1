"""Which rows a claim takes, whatever is in the queue (``docs/contracts/sessions.md`` 2.4; decisions 2, 21)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lash_core.model.queue_selection import (
    ClaimRef,
    QueueRow,
    select_exact,
    select_leading_command,
    select_leading_group,
)
from lash_core.model.queued_work import (
    ClaimBoundary,
    DeliveryPolicy,
    MergeKey,
    QueuedWorkBatch,
    QueuedWorkItem,
    SessionCommandPayload,
    SlotPolicy,
    TimerPayload,
    WorkClass,
)

NOW_MS, MINE, OTHERS = 1_000, 7, 6


def _row(
    seq: int, held: int | None, due: bool, command: bool, policies: tuple[DeliveryPolicy, SlotPolicy, MergeKey]
) -> QueueRow:
    payload = SessionCommandPayload(command="reset_session") if command else TimerPayload("t")
    batch = QueuedWorkBatch(
        batch_id=f"b{seq}",
        session_id="s",
        enqueue_seq=seq,
        delivery_policy=policies[0],
        slot_policy=policies[1],
        merge_key=policies[2],
        available_at_ms=0 if due else NOW_MS + 1,
        enqueued_at_ms=1,
        items=(QueuedWorkItem(item_id="i", payload=payload),),
    )
    claim = None if held is None else ClaimRef(claim_id="c", lease_token="t", session_lease_generation=held)
    return QueueRow(batch, claim)


ROW_FACTS = st.tuples(
    st.sampled_from((None, None, None, MINE, OTHERS)),
    st.sampled_from((True, True, True, False)),
    st.sampled_from((False, False, False, False, True)),
    st.tuples(
        st.sampled_from(tuple(DeliveryPolicy)),
        st.sampled_from((SlotPolicy.JOIN, SlotPolicy.JOIN, SlotPolicy.EXCLUSIVE)),
        st.sampled_from((MergeKey(), MergeKey("payload_default"), MergeKey.of_group("g"))),
    ),
)
QUEUES = st.lists(ROW_FACTS, max_size=8).map(lambda facts: [_row(n + 1, *fact) for n, fact in enumerate(facts)])
BOUNDARIES = st.sampled_from(tuple(ClaimBoundary))


def _ready(rows: list[QueueRow]) -> list[QueueRow]:
    return [row for row in rows if row.batch.available_at_ms <= NOW_MS and row.claim != _MINE]


_MINE = ClaimRef(claim_id="c", lease_token="t", session_lease_generation=MINE)


@given(QUEUES, BOUNDARIES, st.integers(0, 4))
def test_a_group_is_the_head_and_what_joins_it(rows: list[QueueRow], boundary: ClaimBoundary, most: int) -> None:
    """It begins at the first row that may be taken, skips none, and never mixes what must be apart."""
    group = select_leading_group(rows, MINE, NOW_MS, boundary, most)
    ready = _ready(rows)

    assert len(group) <= most
    assert group == ready[: len(group)]
    if not group:
        return
    head = group[0].batch
    assert head.work_class is WorkClass.TURN_WORK
    assert boundary is ClaimBoundary.IDLE or head.delivery_policy is DeliveryPolicy.EARLIEST_SAFE_BOUNDARY
    facts = {(row.batch.delivery_policy, row.batch.slot_policy, row.batch.merge_key.model_dump_json()) for row in group}
    assert 1 == len(facts)
    assert 1 == len(group) or head.slot_policy is SlotPolicy.JOIN


@given(QUEUES, BOUNDARIES)
def test_a_group_is_as_large_as_it_may_be(rows: list[QueueRow], boundary: ClaimBoundary) -> None:
    """The row behind it does not join; without a group the head is none that may be taken here."""
    group, ready = select_leading_group(rows, MINE, NOW_MS, boundary, 64), _ready(rows)
    if not group:
        early = boundary is ClaimBoundary.IDLE or (
            bool(ready) and ready[0].batch.delivery_policy is DeliveryPolicy.EARLIEST_SAFE_BOUNDARY
        )
        assert not ready or ready[0].batch.work_class is WorkClass.SESSION_COMMAND or not early
        return
    head, behind = group[0].batch, ready[len(group) :]
    if behind and head.slot_policy is SlotPolicy.JOIN:
        other = behind[0].batch
        assert (
            other.slot_policy is SlotPolicy.EXCLUSIVE
            or other.work_class is not head.work_class
            or (other.delivery_policy, other.merge_key) != (head.delivery_policy, head.merge_key)
        )


@given(QUEUES)
def test_a_command_leads_or_turn_work_does(rows: list[QueueRow]) -> None:
    """Never both, and one of them when anything is ready: between turns nothing gets stuck."""
    command = select_leading_command(rows, MINE, NOW_MS)
    group = select_leading_group(rows, MINE, NOW_MS, ClaimBoundary.IDLE, 64)

    assert not (command and group)
    assert bool(_ready(rows)) == bool(command or group)
    assert command is None or command == _ready(rows)[0]


@given(QUEUES, BOUNDARIES, st.sets(st.integers(1, 8), max_size=4))
def test_an_exact_claim_is_all_or_none(rows: list[QueueRow], boundary: ClaimBoundary, wanted: set[int]) -> None:
    """What a group may be, it may be; earlier rows do not matter."""
    names = [f"b{seq}" for seq in wanted]

    chosen = select_exact(rows, MINE, NOW_MS, boundary, names)

    assert not chosen or set(names) == {row.batch.batch_id for row in chosen}
    assert all(row in _ready(rows) for row in chosen)
    assert len(chosen) < 2 or all(row.batch.slot_policy is SlotPolicy.JOIN for row in chosen)
    group = select_leading_group(rows, MINE, NOW_MS, boundary, 64)
    assert group == select_exact(rows, MINE, NOW_MS, boundary, [row.batch.batch_id for row in group])


def test_a_claim_counts_for_its_own_generation() -> None:
    """A row of an older one is free; for who has no lease it is held while that generation is the live one."""
    mine, theirs = (QueueRow(_row(1, None, True, False, _PLAIN).batch, one) for one in (_MINE, _THEIRS))

    assert (False, True) == (mine.is_claimable(MINE), theirs.is_claimable(MINE))
    assert (True, False, False) == (mine.is_held(MINE), theirs.is_held(MINE), mine.is_held(None))


_THEIRS = ClaimRef(claim_id="c", lease_token="t", session_lease_generation=OTHERS)
_PLAIN = (DeliveryPolicy.EARLIEST_SAFE_BOUNDARY, SlotPolicy.JOIN, MergeKey())
