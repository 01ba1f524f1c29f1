"""Commits that a ring names by reference: their histories, read from the session's nodes, each node once.

History is append-only, so what ends at the leaf of a commit is what the session was then.
"""

from __future__ import annotations

from typing import Any, Final

from lash_core.errors import InvalidArgumentError, StoreAuthError
from lash_core.model.observation_codec import CommittedReference
from lash_core.model.session_commit import NODES_PAGE_MAX, ActivePath
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_observation import CommittedPayload
from lash_core.model.session_read_model import SessionReadModel
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.runtime_persistence import RedisRuntimePersistence
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_commit_codec import parse_node
from lash_core.redis_store.session_reads import PAGE_BYTES_MAX
from lash_core.store.session_commit_records import decode_node

STEP_NODES: Final = 64
"""Nodes of one read behind a history that is known: a turn has fewer as a rule."""


class CommittedViews:
    """The views of one session's commits. Asked in their order, each one reads only what is new in it.

    Args:
        context: one namespace.
        session_id: whose.
    """

    def __init__(self, context: RedisContext, session_id: str) -> None:
        self._context = context
        self._session_id = session_id
        self._leaf: str | None = None
        self._model = SessionReadModel()

    async def resolved(self, reference: CommittedReference) -> CommittedPayload | None:
        """The commit with its history; None when that is not there any more.

        Raises:
            StoreUnreachableError, OutcomeUnknownError: nobody answered. CorruptRecordError.
        """
        leaf = reference.leaf_node_id
        if leaf is None or reference.session_id != self._session_id:
            return None
        if leaf != self._leaf:
            model = await self._model_at(leaf)
            if model is None:
                return None
            self._leaf, self._model = leaf, model
        return reference.resolved(self._model)

    async def _model_at(self, leaf: str) -> SessionReadModel | None:
        try:
            found = await self._nodes_above(leaf)
        except StoreAuthError:  # an observer, who may run no script
            return await self._read_plainly(leaf)
        if found is None:
            return None
        nodes, continues = found
        model = self._model if continues else SessionReadModel()
        for node in reversed(nodes):
            model = model.extended(node)
        return model

    async def _nodes_above(self, leaf: str) -> tuple[list[SessionNodeRecord], bool] | None:
        """The nodes from a leaf up to the known one, or up to the root; None when there is no such leaf."""
        keys = self._context.keyspace.of_session(self._session_id)
        names = (
            keys.session_nodes(self._session_id),
            keys.session_node_order(self._session_id),
            keys.session_tombstones(self._session_id),
        )
        page = NODES_PAGE_MAX if self._leaf is None else STEP_NODES
        nodes: dict[str, SessionNodeRecord] = {}
        following = f"={leaf}"
        while following and following[1:] not in nodes:
            call = Call("read_session_nodes", names, (following, "", page, PAGE_BYTES_MAX))
            reply: list[Any] = (await self._context.scripts.run([call]))[0]
            flat, following = reply[1], reply[2]
            for node_id, value in zip(flat[::2], flat[1::2], strict=True):
                if node_id == self._leaf:
                    return list(nodes.values()), True
                if node_id not in nodes:
                    nodes[node_id] = decode_node(node_id, *parse_node(value, key=names[0]), key=names[0])
            page = NODES_PAGE_MAX
        return (list(nodes.values()), False) if nodes else None

    async def _read_plainly(self, leaf: str) -> SessionReadModel | None:
        store = RedisRuntimePersistence(self._context, self._session_id)
        try:
            read = await store.load_session(ActivePath(leaf))
        except InvalidArgumentError:  # no such leaf
            return None
        return None if read is None or read.leaf_node_id != leaf else SessionReadModel.of_nodes(read.nodes)
