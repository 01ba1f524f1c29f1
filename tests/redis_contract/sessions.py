"""What the tests of sessions over Redis share."""

from __future__ import annotations

from typing import Any

import pytest

from lash_core.model.message import Message
from lash_core.model.session_commit import (
    CheckpointDraft,
)
from lash_core.model.session_graph import SessionGraph
from lash_core.model.tool_state import ToolState
from lash_core.redis_store.connection import RedisConnection

SNAPSHOTS = CheckpointDraft(tool_state=ToolState(generation=3), execution_state={"step": 1})


class Trips:
    """Counts the times that commands go to the server."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        plain = RedisConnection.dispatch

        async def counted(connection: RedisConnection, *args: Any, **named: Any) -> Any:
            self.count += 1
            return await plain(connection, *args, **named)

        patch.setattr(RedisConnection, "dispatch", counted)


def graph_of(count: int) -> SessionGraph:
    """So many messages in a row."""
    graph = SessionGraph()
    for number in range(count):
        graph.append_message(Message.user(f"n{number}", message_id=f"m{number}"))
    return graph
