"""The append-only graph of a session's history (``docs/contracts/sessions.md`` 1.6; docs/adr/0160). No I/O.

Nothing in it is ever rewritten: other views are made by moving the leaf, by forks, or by opening a frame.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.message import Message
from lash_core.model.scope import CausalRef
from lash_core.model.session_node import (
    ConversationEvent,
    EventPayload,
    NodePayload,
    PluginPayload,
    ProtocolEvent,
    SessionNodeRecord,
)
from lash_core.model.session_read_model import SessionReadModel


class SessionGraph:
    """Nodes in the order of their append, and the leaf that the session stands on.

    Args:
        nodes: in append order.
        leaf_node_id: where the session stands; None = at the beginning. It may be unknown here: see
            ``heal_orphaned_leaf``.

    Attributes:
        leaf_node_id: the leaf.
    """

    __slots__ = ("_by_id", "_nodes", "_read_model", "leaf_node_id")

    def __init__(self, nodes: Iterable[SessionNodeRecord] = (), leaf_node_id: str | None = None) -> None:
        self._nodes = list(nodes)
        self._by_id = {node.node_id: node for node in self._nodes}
        self._read_model: SessionReadModel | None = None
        self.leaf_node_id = leaf_node_id

    # -- reads -----------------------------------------------------------------------------------------

    @property
    def nodes(self) -> Sequence[SessionNodeRecord]:
        """All nodes in append order; not to be changed by the caller."""
        return self._nodes

    def find_node(self, node_id: str) -> SessionNodeRecord | None:
        """A resident node, or None."""
        return self._by_id.get(node_id)

    def active_path_nodes(self, leaf_node_id: str | None = None) -> list[SessionNodeRecord]:
        """The nodes from root to leaf; a parent that is not resident ends the path there."""
        path: list[SessionNodeRecord] = []
        seen: set[str] = set()
        next_id = leaf_node_id if leaf_node_id is not None else self.leaf_node_id
        while next_id is not None and next_id not in seen:
            seen.add(next_id)
            node = self._by_id.get(next_id)
            if node is None:
                break
            path.append(node)
            next_id = node.parent_node_id
        path.reverse()
        return path

    def orphaned_node_ids(self) -> list[str]:
        """Nodes that are not on the active path, in append order."""
        active = {node.node_id for node in self.active_path_nodes()}
        return [node.node_id for node in self._nodes if node.node_id not in active]

    def read_model(self) -> SessionReadModel:
        """The active path as messages and events; kept and extended with each append."""
        if self._read_model is None:
            self._read_model = SessionReadModel.of_nodes(self.active_path_nodes())
        return self._read_model

    # -- appends ---------------------------------------------------------------------------------------

    def append_message(
        self,
        message: Message,
        *,
        agent_frame_id: str | None = None,
        caused_by: CausalRef | None = None,
        timestamp_ms: int = 0,
    ) -> SessionNodeRecord:
        """Append a message under the leaf. Its id becomes the node's if that is free, else ``message:<id>`` does."""
        if not message.id.strip():
            message = message.model_copy(update={"id": f"m{uuid.uuid4().hex}"})
        payload = EventPayload(ConversationEvent(message))
        return self._append(self._node_id_of(message.id), payload, agent_frame_id, caused_by, timestamp_ms)

    def append_protocol_event(
        self,
        body: JsonValue,
        *,
        node_id: str | None = None,
        agent_frame_id: str | None = None,
        caused_by: CausalRef | None = None,
        timestamp_ms: int = 0,
    ) -> SessionNodeRecord:
        """Append a protocol event; its node is ``protocol:<uuid>`` unless ``node_id`` says otherwise."""
        payload = EventPayload(ProtocolEvent(body))
        return self._append(node_id or f"protocol:{uuid.uuid4()}", payload, agent_frame_id, caused_by, timestamp_ms)

    def append_plugin_node(
        self,
        plugin_type: str,
        body: JsonValue,
        *,
        node_id: str | None = None,
        agent_frame_id: str | None = None,
        caused_by: CausalRef | None = None,
        timestamp_ms: int = 0,
    ) -> SessionNodeRecord:
        """Append a plugin's node; it is ``plugin:<uuid>`` unless ``node_id`` says otherwise."""
        payload = PluginPayload(plugin_type, body)
        return self._append(node_id or f"plugin:{uuid.uuid4()}", payload, agent_frame_id, caused_by, timestamp_ms)

    def append_node(self, node: SessionNodeRecord) -> SessionNodeRecord:
        """Append a complete node and stand on it.

        Raises:
            InvalidArgumentError: its id is taken.
        """
        if node.node_id in self._by_id:
            raise InvalidArgumentError(
                f"session node `{node.node_id}` exists already", field="node_id", value=node.node_id
            )
        extends_leaf = node.parent_node_id == self.leaf_node_id
        self._nodes.append(node)
        self._by_id[node.node_id] = node
        self.leaf_node_id = node.node_id
        if self._read_model is not None:
            self._read_model = self._read_model.extended(node) if extends_leaf else None
        return node

    # -- other views -----------------------------------------------------------------------------------

    def heal_orphaned_leaf(self) -> bool:
        """Stand on a node that exists: the last message in append order, or None. True when the leaf was changed."""
        if self.leaf_node_id is None or self.leaf_node_id in self._by_id:
            return False
        messages = (node.node_id for node in reversed(self._nodes) if node.message is not None)
        self.leaf_node_id = next(messages, None)
        self._read_model = None
        return True

    def fork_current_path(self) -> SessionGraph:
        """A graph of the active path alone."""
        return SessionGraph(self.active_path_nodes(), self.leaf_node_id)

    def branch_to(self, leaf_node_id: str) -> None:
        """Stand on another node.

        Raises:
            InvalidArgumentError: no such node.
        """
        if leaf_node_id not in self._by_id:
            raise InvalidArgumentError(
                f"session node `{leaf_node_id}` does not exist", field="leaf_node_id", value=leaf_node_id
            )
        self.leaf_node_id = leaf_node_id
        self._read_model = None

    def snapshot(self) -> GraphSnapshot:
        """The graph as it is now, for readers. O(1): appends come behind it, and nothing else changes the nodes."""
        return GraphSnapshot(self._nodes, len(self._nodes), self.leaf_node_id)

    def copy(self) -> SessionGraph:
        """A graph of the same nodes that grows by itself. The read model is shared as far as it goes."""
        other = SessionGraph((), self.leaf_node_id)
        other._nodes, other._by_id = list(self._nodes), dict(self._by_id)
        other._read_model = self._read_model
        return other

    # -- inside ----------------------------------------------------------------------------------------

    def _append(
        self,
        node_id: str,
        payload: NodePayload,
        agent_frame_id: str | None,
        caused_by: CausalRef | None,
        timestamp_ms: int,
    ) -> SessionNodeRecord:
        return self.append_node(
            SessionNodeRecord(
                node_id=node_id,
                parent_node_id=self.leaf_node_id,
                caused_by=caused_by,
                agent_frame_id=agent_frame_id,
                timestamp_ms=timestamp_ms,
                payload=payload,
            )
        )

    def _node_id_of(self, message_id: str) -> str:
        if message_id not in self._by_id:
            return message_id
        first = candidate = f"message:{message_id}"
        number = 2
        while candidate in self._by_id:
            candidate = f"{first}:{number}"
            number += 1
        return candidate


@dataclass(frozen=True, slots=True)
class GraphSnapshot:
    """A graph as it was: the first so many nodes of a list that only grows, so taking one costs nothing."""

    _nodes: Sequence[SessionNodeRecord]
    _count: int
    leaf_node_id: str | None

    def graph(self) -> SessionGraph:
        """A graph of the caller's own, to be changed at will. O(nodes)."""
        return SessionGraph(self._nodes[: self._count], self.leaf_node_id)
