"""Session commands: work of the queue that runs without a model, each in a commit of its own.

``docs/contracts/sessions.md`` 1.10, 3.1.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lash_core.errors.session import SessionExecutionLeaseExpiredError
from lash_core.model.queued_work import QueuedWorkClaim, SessionCommandPayload
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.runtime.tool_registry_errors import ToolRegistryError
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime

_log = logging.getLogger(__name__)

COMMANDS_MAX = 256
"""Commands that one drain runs before its turn."""


def command_turn_id(batch_id: str) -> str:
    """The stamp of a command's commit: a repeat after a lost reply answers the first result."""
    return f"c_{batch_id}"


async def apply_session_command(
    runtime: LashRuntime, draft: RuntimeSessionState, command: SessionCommandPayload, command_id: str
) -> None:
    """Do what a command says to a state; its commit is the caller's.

    ``refresh_tool_catalog`` reads the tools' sources anew. ``reset_session`` opens an empty frame: the history stays
    and the model begins anew. Safe to repeat under one ``command_id``.
    """
    match command.command:
        case "refresh_tool_catalog":
            runtime.tools.refresh_catalog()
        case "reset_session":
            draft.open_agent_frame(
                f"{draft.session_id}:frame:reset:{command_id}",
                reason="reset_session",
                now_ms=runtime.host.core.clock.now_ms(),
            )


async def run_claimed_command(
    runtime: LashRuntime, store: RuntimePersistence, guard: SessionLeaseGuard, claim: QueuedWorkClaim
) -> None:
    """Run a claimed command and settle it, in one commit.

    A tool source that fails leaves the tools as they were: the command is done, and does not hold up what is queued
    behind it.

    Raises:
        SessionLeaseLostError. Store errors: nothing was written, the command stays in the queue.
    """
    draft = runtime.state.copy()
    for batch in claim.batches:
        for payload in batch.payloads:
            if isinstance(payload, SessionCommandPayload):
                try:
                    await apply_session_command(runtime, draft, payload, batch.batch_id)
                except ToolRegistryError:
                    _log.exception("command %s of session %s failed", batch.batch_id, draft.session_id)
    before, runtime.state = runtime.state, draft
    try:
        commit = runtime.export_commit(fence=guard.require())
    finally:
        runtime.state = before
    commit = commit.model_copy(update={"completed_queue_claims": (claim.completion,)})
    try:
        result = await store.commit_runtime_state(commit.stamped(command_turn_id(claim.batches[0].batch_id)))
    except SessionExecutionLeaseExpiredError as error:
        guard.lose(error.message)
        raise guard.lost_error() from error
    runtime.state = draft
    runtime.apply_commit_result(commit, result)
    runtime.turn_memory.generation = guard.generation
