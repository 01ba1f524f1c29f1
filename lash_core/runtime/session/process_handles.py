"""The process handles of a session and of its current frame, for hosts that show them.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

import logging
from typing import Any

from lash_core.model.facts import ProcessHandleGrant
from lash_core.model.process_command import ProcessListMode
from lash_core.model.process_handle import process_handle_summary
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionScope
from lash_core.store.process_registry import ProcessRegistry

_log = logging.getLogger(__name__)


async def list_process_handles(
    registry: ProcessRegistry | None, session_id: str, agent_frame_id: str, mode: ProcessListMode
) -> tuple[dict[str, Any], ...]:
    """Summaries by process id, each once; none where there is no registry, or where it cannot list them (logged)."""
    mode = ProcessListMode(mode)
    if registry is None:
        return ()
    root = SessionScope(session_id)
    frame = SessionScope.for_agent_frame(session_id, agent_frame_id)
    found: dict[str, dict[str, Any]] = {}
    for scope in (root,) if frame == root else (root, frame):
        for grant, record in await _handles_of(registry, scope, mode):
            found.setdefault(record.id, process_handle_summary(record, grant.descriptor))
    return tuple(summary for _, summary in sorted(found.items()))


async def _handles_of(
    registry: ProcessRegistry, scope: SessionScope, mode: ProcessListMode
) -> tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]:
    try:
        if mode is ProcessListMode.LIVE:
            return await registry.list_live_handles(scope)
        return await registry.list_handles(scope)
    except Exception:  # noqa: BLE001 - best effort, whatever a registry answers with: hosts only show them
        _log.warning("handles of %s cannot be listed", scope.scope_id, exc_info=True)
        return ()
