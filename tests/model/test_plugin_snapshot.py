"""What plugins keep: its stored form, and the fingerprint of its revisions."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lash_core.model.plugin_snapshot import (
    PluginSessionSnapshot,
    PluginSnapshotArtifact,
    PluginSnapshotEntry,
    PluginSnapshotMeta,
    plugin_revision_fingerprint,
)


def test_the_stored_form_has_meta_and_artifacts() -> None:
    """Bytes are base64 in JSON and come back as they were."""
    meta = PluginSnapshotMeta(plugin_id="p", plugin_version="2", revision=3, state={"n": [1, None]})
    entry = PluginSnapshotEntry(meta=meta, artifacts=(PluginSnapshotArtifact("a", b"\x00\xff"),))
    snapshot = PluginSessionSnapshot(plugins={"p": entry})
    stored = snapshot.to_json_value()

    assert {
        "plugins": {
            "p": {
                "meta": {"plugin_id": "p", "plugin_version": "2", "revision": 3, "state": {"n": [1, None]}},
                "artifacts": [{"name": "a", "data": "AP8="}],
            }
        }
    } == stored
    assert snapshot == PluginSessionSnapshot.model_validate(stored)


def test_the_fingerprint_is_the_first_eight_bytes_of_a_digest() -> None:
    """Per plugin, in the order of ids: id, 0, version, 0, revision little endian, 0xff."""
    text = b"a\x001\x00" + (5).to_bytes(8, "little") + b"\xff" + b"b\x002\x00" + (0).to_bytes(8, "little") + b"\xff"
    expected = int.from_bytes(hashlib.sha256(text).digest()[:8], "little")

    assert expected == plugin_revision_fingerprint([("b", "2", 0), ("a", "1", 5)])


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=5), st.text(max_size=3), st.integers(0, 2**40)),
        max_size=5,
        unique_by=lambda row: row[0],
    ),
    st.randoms(),
)
def test_the_fingerprint_knows_no_order(rows: list[tuple[str, str, int]], random: object) -> None:
    """Plugins may be built in any order."""
    shuffled = list(rows)
    getattr(random, "shuffle")(shuffled)  # noqa: B009 - hypothesis gives a Random

    assert plugin_revision_fingerprint(rows) == plugin_revision_fingerprint(shuffled)


@pytest.mark.parametrize("other", [("q", "1", 1), ("p", "2", 1), ("p", "1", 2)])
def test_every_part_counts(other: tuple[str, str, int]) -> None:
    """Another id, version or revision is another fingerprint."""
    assert plugin_revision_fingerprint([("p", "1", 1)]) != plugin_revision_fingerprint([other])
