"""Nodes, ledgers and stamps of sessions as Redis keeps them: what goes in comes out, the rest is an error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.errors import CorruptRecordError
from lash_core.model.usage import COUNTERS, TokenLedgerEntry, TokenUsage, merge_ledger
from lash_core.redis_store.session_commit_codec import (
    decode_stamp,
    decode_usage,
    node_value,
    parse_node,
    usage_fields,
)
from lash_core.store.session_commit_records import StoredNode

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
FACTS = '{"checkpoint_ref":"c","manifest":{}}'


@given(st.one_of(st.none(), TEXT), TEXT)
def test_nodes_come_back(parent: str | None, text: str) -> None:
    """Whatever ids look like; a root differs from a node under an empty id."""
    assert (parent, text) == parse_node(node_value(StoredNode("n", parent, text)), key="k")


@pytest.mark.parametrize("value", ["", "x", "x;{}", "-1;{}"])
def test_other_nodes_are_corrupt(value: str) -> None:
    """They name the key."""
    with pytest.raises(CorruptRecordError, match="unreadable node"):
        parse_node(value, key="k")


@given(
    st.lists(
        st.builds(
            TokenLedgerEntry, TEXT, TEXT, st.builds(TokenUsage, **{name: st.integers(0, 2**53) for name in COUNTERS})
        ),
        max_size=5,
        unique_by=lambda entry: (entry.source, entry.model),
    )
)
def test_ledgers_come_back(entries: list[TokenLedgerEntry]) -> None:
    """Merged and sorted by source and model."""
    fields = {field: str(amount) for field, amount in usage_fields(entries)}

    back = decode_usage(fields, key="k")

    assert sorted(merge_ledger(entries), key=lambda entry: (entry.source, entry.model)) == list(back)


@pytest.mark.parametrize("field", ["", "i", "i;x", 'z;["a","b"]', 'i;["a"]', "i;1"])
def test_other_ledgers_are_corrupt(field: str) -> None:
    """They name the key."""
    with pytest.raises(CorruptRecordError, match="unreadable ledger"):
        decode_usage({field: "1"}, key="k")


@pytest.mark.parametrize(
    "text", ["", "2;abc;[]", "1;abc;[]", '1;abc;["x","{}"]', "1;abc;{", f'1;a;["1",{json.dumps(FACTS)},"b"]']
)
def test_other_stamps_are_corrupt(text: str) -> None:
    """They name the key."""
    with pytest.raises(CorruptRecordError, match="k has a"):
        decode_stamp("s", text, key="k")


def test_stamps_come_back() -> None:
    """The revision, what was answered, and no batches."""
    stamp = decode_stamp("s", f'1;abc;["7",{json.dumps(FACTS)}]', key="k")

    assert ("abc", 7, "c", ()) == (
        stamp.turn_commit_hash,
        stamp.result.head_revision,
        stamp.result.checkpoint_ref,
        stamp.result.enqueued_queue_batches,
    )
