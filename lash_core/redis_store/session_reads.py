"""Loads of a session over Redis: head, ledger, blobs and the first nodes are of one moment, more pages follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lash_core.errors import CorruptRecordError, StoreAuthError
from lash_core.errors.session import UnsupportedReadScopeError
from lash_core.model.session_commit import (
    NODES_PAGE_MAX,
    ActivePath,
    FullGraph,
    PersistedSessionConfig,
    PersistedSessionRead,
    SessionCheckpoint,
    SessionHead,
    SessionHeadMeta,
    SessionReadScope,
)
from lash_core.model.session_node import SessionNodeRecord
from lash_core.redis_store.commands import Command
from lash_core.redis_store.leased_session import LeasedSession
from lash_core.redis_store.row_reader import as_mapping
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_blobs import read_blobs
from lash_core.redis_store.session_commit_codec import decode_usage, parse_node
from lash_core.redis_store.session_plain_reads import read_session_plainly
from lash_core.store.session_commit_records import FrameRecords, decode_node
from lash_core.store.session_records import decode_record, hydrated
from lash_core.store.session_refusals import unknown_leaf

PAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of the nodes of one page: what a server may be busy with for about 2 ms. One larger node is a page of its own."""


@dataclass(frozen=True, slots=True)
class _Head:
    """The reply of ``read_session``."""

    revision: int
    head: SessionHeadMeta
    config: PersistedSessionConfig
    frames: FrameRecords
    checkpoint: SessionCheckpoint
    leaf_node_id: str | None
    last_index: str
    usage: dict[str, str]
    blobs: dict[str, str]
    nodes: list[str]
    next_page: str


class SessionReads(LeasedSession):
    """The part of ``RedisRuntimePersistence`` that reads the graph."""

    async def load_session(self, scope: SessionReadScope = FullGraph()) -> PersistedSessionRead | None:  # noqa: B008 - immutable
        """The session as stored, or None before the first commit. One round trip for each 500 nodes.

        An observer, who may not run scripts, reads it by plain commands.

        Nodes that are committed meanwhile are not in it; nodes that are tombstoned meanwhile may be missing.

        Raises:
            UnsupportedReadScopeError: a scope of another kind.
            InvalidArgumentError: an explicit leaf that does not exist.
            MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError,
            CorruptRecordError.
        """
        word = _scope_word(scope)
        names = (*self._graph_keys, self._keys.session_usage(self._session_id), self._blobs_key)
        call = Call("read_session", (self._head_key, *names), (word, NODES_PAGE_MAX, PAGE_BYTES_MAX))
        try:
            reply: list[Any] = (await self._context.scripts.run([call]))[0]
        except StoreAuthError:
            reply = await read_session_plainly(self._context, self._session_id, word)
        match reply[0]:
            case "absent":
                return None
            case "unknown_leaf":
                raise unknown_leaf(self._session_id, word[1:])
            case _:
                head = self._head(reply)
        nodes = self._decoded(head.nodes)
        await self._read_further(nodes, head.next_page, head.last_index)
        if word != "full":
            nodes.reverse()
        blobs = await read_blobs(self._context, head.blobs, key=self._blobs_key)
        return PersistedSessionRead(
            session_id=self._session_id,
            head_revision=head.revision,
            config=head.config,
            agent_frames=head.frames.frames,
            current_agent_frame_id=head.head.current_agent_frame_id,
            nodes=tuple(nodes),
            leaf_node_id=head.leaf_node_id,
            checkpoint=hydrated(head.checkpoint, blobs, key=self._head_key),
            checkpoint_ref=head.head.checkpoint_ref,
            token_ledger=decode_usage(head.usage, key=self._keys.session_usage(self._session_id)),
        )

    async def load_session_head(self) -> SessionHead | None:
        """What the session stands on; None before the first commit. One read of one key.

        Raises:
            MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError,
            CorruptRecordError.
        """
        key = self._head_key
        found = await self._context.connection.read([Command(key, ("HMGET", key, "r", "head", "lf"))])
        revision, head, leaf = found[0]
        if head is None:
            return None
        meta = decode_record(SessionHeadMeta, head, subject=f"the head of session `{self._session_id}`", key=key)
        return SessionHead(head_revision=int(revision), leaf_node_id=leaf, checkpoint_ref=meta.checkpoint_ref)

    async def load_node(self, node_id: str) -> SessionNodeRecord | None:
        """One node; None when it is unknown or tombstoned.

        Raises:
            MissingRecordSchemaVersionError, InvalidRecordSchemaVersionError, UnsupportedRecordSchemaVersionError,
            CorruptRecordError.
        """
        nodes, _, tombstones = self._graph_keys
        hidden, value = await self._context.connection.read(
            [Command(tombstones, ("SISMEMBER", tombstones, node_id)), Command(nodes, ("HGET", nodes, node_id))]
        )
        return None if hidden or value is None else self._decoded([node_id, value])[0]

    @property
    def _head_key(self) -> str:
        return self._keys.session_head(self._session_id)

    @property
    def _blobs_key(self) -> str:
        return self._keys.session_blobs(self._session_id)

    @property
    def _graph_keys(self) -> tuple[str, str, str]:
        """Nodes, their order, tombstones."""
        keys, session_id = self._keys, self._session_id
        return keys.session_nodes(session_id), keys.session_node_order(session_id), keys.session_tombstones(session_id)

    async def _read_further(self, nodes: list[SessionNodeRecord], following: str, last_index: str) -> None:
        """Append all further pages. A circle of parents, which no graph of ours has, ends the path."""
        seen = {node.node_id for node in nodes}
        while following and not (following[0] == "=" and following[1:] in seen):
            call = Call("read_session_nodes", self._graph_keys, (following, last_index, NODES_PAGE_MAX, PAGE_BYTES_MAX))
            _, flat, following = (await self._context.scripts.run([call]))[0]
            page = [node for node in self._decoded(flat) if node.node_id not in seen]
            seen.update(node.node_id for node in page)
            nodes += page

    def _decoded(self, flat: Sequence[str]) -> list[SessionNodeRecord]:
        key = self._graph_keys[0]
        return [
            decode_node(node_id, *parse_node(value, key=key), key=key)
            for node_id, value in zip(flat[::2], flat[1::2], strict=True)
        ]

    def _head(self, reply: Sequence[Any]) -> _Head:
        key, session = self._head_key, f"session `{self._session_id}`"
        _, revision, head, config, frames, checkpoint, leaf, last_index, usage, blobs, nodes, next_page = reply
        if None in (revision, head, config, frames, checkpoint):
            raise CorruptRecordError(f"the head of {session} is incomplete", key=key)
        return _Head(
            revision=int(revision),
            head=decode_record(SessionHeadMeta, head, subject=f"the head of {session}", key=key),
            config=decode_record(PersistedSessionConfig, config, subject=f"the config of {session}", key=key),
            frames=decode_record(FrameRecords, frames, subject=f"the agent frames of {session}", key=key),
            checkpoint=decode_record(SessionCheckpoint, checkpoint, subject=f"the checkpoint of {session}", key=key),
            leaf_node_id=leaf[1:] if leaf else None,
            last_index=last_index,
            usage=as_mapping(usage),
            blobs={digest: text for digest, text in as_mapping(blobs).items() if text},
            nodes=nodes,
            next_page=next_page,
        )


def _scope_word(scope: SessionReadScope) -> str:
    match scope:
        case FullGraph():
            return "full"
        case ActivePath(leaf_node_id=None):
            return "path"
        case ActivePath(leaf_node_id=leaf):
            return f"={leaf}"
        case _:
            raise UnsupportedReadScopeError(f"sessions cannot be read by {scope!r}", field="scope", value=repr(scope))
