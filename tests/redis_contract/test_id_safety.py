"""No id can name another id's key, whatever it looks like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lash_core.errors import InvalidArgumentError, LiveReplayStoreError
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.ids import check_id
from lash_core.model.scope import SessionScope
from lash_core.model.session_cursor import SessionCursor
from lash_core.redis_store.keys import Keyspace, PartitionKeys, spread_salts
from lash_core.redis_store.stores import RedisStores
from tests.redis_contract.rows import registration

KEYSPACE = Keyspace("lash", spread_salts("lash", 1))
PARTITION = KEYSPACE.partitions[0]

PROCESS_KEYS = (
    PartitionKeys.registration,
    PartitionKeys.control,
    PartitionKeys.events,
    PartitionKeys.journal,
    PartitionKeys.handovers,
    PartitionKeys.wake_acks,
    PartitionKeys.grant_scopes,
    PartitionKeys.promises,
    PartitionKeys.audit,
    PartitionKeys.blobs,
)
SESSION_KEYS = (
    PartitionKeys.session_grants,
    PartitionKeys.session_wakes,
    PartitionKeys.session_promises,
    PartitionKeys.session_attachments,
    PartitionKeys.session_tasks,
    PartitionKeys.session_head,
    PartitionKeys.session_nodes,
    PartitionKeys.session_node_order,
    PartitionKeys.session_tombstones,
    PartitionKeys.session_usage,
    PartitionKeys.session_blobs,
    PartitionKeys.session_stamps,
    PartitionKeys.session_stamp_order,
    PartitionKeys.session_queue,
    PartitionKeys.session_queue_order,
    PartitionKeys.session_queue_due,
    PartitionKeys.session_source_keys,
    PartitionKeys.session_settled_sources,
    PartitionKeys.session_inputs,
    PartitionKeys.session_input_order,
    PartitionKeys.session_channel,
    PartitionKeys.live_ring,
    PartitionKeys.live_channel,
)
FIXED_KEYS = frozenset(
    value for name in PartitionKeys.__slots__ if isinstance(value := getattr(PARTITION, name), str) and name != "tag"
)

ODD = st.sampled_from(
    [
        "a:b",
        "{x}",
        "}:c:a",
        "orders/2026/17",
        "p:a",
        "c:a",
        ":",
        "meta",
        "rdy:default",
        "{lash:0}:c:a",
        "c:p:e:",
        "sg:a",
    ]
)
TEXT = st.one_of(
    ODD, st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=60), st.text("pce:{}a", max_size=6)
)


def _is_legal(text: str) -> bool:
    try:
        check_id(text)
    except InvalidArgumentError:
        return False
    return True


IDS = TEXT.filter(_is_legal)


def _keys(identifier: str) -> set[str]:
    """Every key that carries this id, in any role."""
    keys = {make(PARTITION, identifier) for make in (*PROCESS_KEYS, *SESSION_KEYS)}
    assert len(PROCESS_KEYS) + len(SESSION_KEYS) == len(keys)
    return keys


@settings(max_examples=500, deadline=None)
@given(IDS, IDS)
def test_keys_of_different_ids_are_different(first: str, second: str) -> None:
    """In one partition, over all families and both kinds of id; and never a key of the partition itself or a queue."""
    mine, others = _keys(first), _keys(second)

    assert (mine == others) == (first == second)
    assert mine == others or not mine & others
    assert not mine & FIXED_KEYS
    assert not any(key.startswith(PARTITION.ready("")) for key in mine)


@settings(max_examples=300, deadline=None)
@given(IDS)
def test_the_hash_tag_is_the_partitions(identifier: str) -> None:
    """Redis hashes the first ``{…}`` of a key: braces in an id change nothing."""
    tag = PARTITION.tag

    assert [tag] * len(_keys(identifier)) == [key[: key.index("}") + 1] for key in _keys(identifier)]


@pytest.mark.parametrize(
    "process_id",
    [
        "a:b",
        "{x}",
        "}{",
        "orders/2026/17",
        "meta",
        "p:a",
        "é" * 100,
        "😀" * 50,
        "a b",
        "*",
        "[a-z]*",
        "\\",
        "'\"",
        "x" * 200,
    ],
)
async def test_odd_ids_live_beside_each_other(stores: RedisStores, process_id: str) -> None:
    """Rows with such ids, and with ids that begin or end like them, are told apart by every read."""
    registry = stores.process_registry
    neighbours = [name for name in (f"{process_id}:a", f"p:{process_id}", f"c:{process_id}") if _is_legal(name)]
    scope = SessionScope(session_id=process_id)
    for name in (process_id, *neighbours):
        await registry.register_process(registration(name))

    await registry.grant_handle(scope, process_id, ProcessHandleDescriptor(label="mine"))

    assert sorted([process_id, *neighbours]) == [row.id for row in await registry.list_non_terminal()]
    assert [process_id] == [grant.process_id for grant, _ in await registry.list_handles(scope)]
    assert [False] * len(neighbours) == [await registry.has_handle(scope, name) for name in neighbours]
    read = await registry.get_process(process_id)
    assert read is not None
    assert process_id == read.id


@pytest.mark.parametrize("process_id", ["", " ", "a#b", " a", "a\n", "a\x00b", "x" * 201, "é" * 101])
async def test_illegal_ids_write_nothing(stores: RedisStores, process_id: str) -> None:
    """Refused before anything is sent."""
    before = await stores.context.connection.execute("", "DBSIZE")

    with pytest.raises(InvalidArgumentError):
        await stores.process_registry.register_process(registration().model_copy(update={"id": process_id}))

    assert before == await stores.context.connection.execute("", "DBSIZE")


async def test_what_is_no_text_is_refused_by_name(stores: RedisStores) -> None:
    """A lone surrogate has no bytes, so no partition: reads say so too, as an error of ours."""
    live, sessions, cursor = stores.live_replay, stores.session_store_factory, SessionCursor.new("\ud800", 0, 0)
    for asked in (
        stores.process_registry.get_process("\ud800"),
        sessions.open_existing_store("\ud800"),
        sessions.open_existing_store("process-env:\ud800"),
        live.replay_after_cursor(cursor),
        live.current_cursor("\ud800", 0),
    ):
        with pytest.raises((InvalidArgumentError, LiveReplayStoreError), match="lone surrogate"):
            await asked
