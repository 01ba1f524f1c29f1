"""A session read by plain commands, for an observer's role, which may not run scripts.

The answer has the form of ``read_session``'s. It is read again when a commit came in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.model.session_commit import NODES_PAGE_MAX
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.session_commit_codec import parse_node

TRIES_MAX = 5
"""A session that is committed to faster than it can be read is answered as it was read last."""

_FIELDS = ("head", "r", "cfg", "fr", "cp", "lf", "nn", "tr", "pr", "er")


async def read_session_plainly(context: RedisContext, session_id: str, scope: str) -> list[Any]:
    """What ``read_session`` answers, with all nodes on one page. O(stored nodes), also for a path.

    Args:
        context: one namespace.
        session_id: whose.
        scope: ``full``, ``path``, or ``=`` and an explicit leaf.
    """
    keys, reply = context.keyspace.of_session(session_id), list[Any]()
    for _ in range(TRIES_MAX):
        reply = await _read_once(context, keys, session_id, scope)
        head = keys.session_head(session_id)
        (revision,) = await context.connection.read([Command(head, ("HGET", head, "r"))])
        if reply[0] != "read" or reply[1] == revision:
            break
    return reply


async def _read_once(context: RedisContext, keys: PartitionKeys, session_id: str, scope: str) -> list[Any]:
    head, usage, blobs = keys.session_head(session_id), keys.session_usage(session_id), keys.session_blobs(session_id)
    tombstones = keys.session_tombstones(session_id)
    row, ledger, hidden = await context.connection.read(
        [
            Command(head, ("HMGET", head, *_FIELDS)),
            Command(usage, ("HGETALL", usage)),
            Command(tombstones, ("SMEMBERS", tombstones)),
        ]
    )
    if row[0] is None:
        return ["absent"]
    digests = [digest for digest in row[7:10] if digest]
    texts = (await context.connection.read([Command(blobs, ("HMGET", blobs, *digests))]))[0] if digests else []
    stored = await _all_nodes(context, keys, session_id, row[6] or "0")
    leaf: str | None = row[5]
    if scope.startswith("="):
        leaf = scope[1:]
        if leaf not in stored:
            return ["unknown_leaf"]
    shown = {node_id: value for node_id, value in stored.items() if node_id not in hidden}
    if leaf in hidden:
        leaf = None
    chosen = list(shown) if scope == "full" else _to_root(shown, leaf, keys.session_nodes(session_id))
    nodes = [text for node_id in chosen for text in (node_id, shown[node_id])]
    found = [text for pair in zip(digests, (text or "" for text in texts), strict=True) for text in pair]
    facts = (row[1], row[0], *row[2:5], "" if leaf is None else f"={leaf}", row[6] or "0")
    return ["read", *facts, ledger, found, nodes, ""]


async def _all_nodes(context: RedisContext, keys: PartitionKeys, session_id: str, last_index: str) -> dict[str, str]:
    """Every stored node up to an append index, in append order, tombstoned ones too."""
    nodes, order = keys.session_nodes(session_id), keys.session_node_order(session_id)
    found: dict[str, str] = {}
    for start in range(0, int(last_index), NODES_PAGE_MAX):
        page = ("ZRANGE", order, start, start + NODES_PAGE_MAX - 1)
        ids: Sequence[str] = (await context.connection.read([Command(order, page)]))[0]
        if not ids:
            break
        values = (await context.connection.read([Command(nodes, ("HMGET", nodes, *ids))]))[0]
        found |= {node_id: value for node_id, value in zip(ids, values, strict=True) if value is not None}
    return found


def _to_root(stored: dict[str, str], leaf: str | None, key: str) -> list[str]:
    path: dict[str, None] = {}
    node_id = leaf
    while node_id is not None and node_id in stored and node_id not in path:
        path[node_id] = None
        node_id = parse_node(stored[node_id], key=key)[0]
    return list(path)
