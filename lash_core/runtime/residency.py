"""How much of a session stays in memory (``docs/contracts/sessions.md`` 1.7)."""

from __future__ import annotations

from enum import StrEnum

from lash_core.model.session_graph import SessionGraph
from lash_core.model.session_state import RuntimeSessionState


class Residency(StrEnum):
    """How much of a session stays in memory."""

    KEEP_ALL = "keep_all"
    ACTIVE_PATH_ONLY = "active_path_only"
    """Needs a persistent store: what is trimmed is read again from there."""

    @classmethod
    def default(cls) -> Residency:
        """Everything."""
        return cls.KEEP_ALL


def apply_residency_on_load(state: RuntimeSessionState, residency: Residency) -> None:
    """Let go of the nodes that are not to stay. Heal the leaf before: afterwards nothing is left to heal with.

    Only memory is trimmed: the store keeps every node (decision 13).
    """
    graph = state.session_graph
    if residency is Residency.ACTIVE_PATH_ONLY:
        path = graph.active_path_nodes()
        if len(path) != len(graph.nodes):
            state.session_graph = SessionGraph(path, graph.leaf_node_id)
