"""Commands of a session on its handle: what it does without a model (``docs/contracts/sessions.md`` 1.10, 2.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lash_core.model.queued_work import QueuedWorkBatch, SessionCommandPayload, session_command_draft
from lash_core.runtime.session.editing import editing
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.runtime.session.session_queue import SessionQueue
from lash_core.runtime.turns.session_commands import apply_session_command, run_claimed_command

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


async def submit_session_command(
    runtime: LashRuntime, command: SessionCommandPayload, idempotency_key: str
) -> QueuedWorkBatch | None:
    """See ``LashRuntime.submit_session_command``."""
    if runtime.store is None:
        session_command_draft(runtime.session_id, command, idempotency_key)  # a blank key is refused
        async with editing(runtime):
            await apply_session_command(runtime, runtime.state, command, idempotency_key)
            runtime.config_changed = True
        return None
    return await SessionQueue.of_runtime(runtime).enqueue_session_command(command, idempotency_key)


async def drain_next_session_command(runtime: LashRuntime) -> QueuedWorkBatch | None:
    """See ``LashRuntime.drain_next_session_command``."""
    store = runtime.store
    if store is None:
        return None
    runtime.turn_memory.begin(runtime.session_id)
    try:
        timings = runtime.host.core.session_lease_timings
        guard = await SessionLeaseGuard.acquire(store, runtime.runtime_lease_owner, timings)
        try:
            claim = await store.claim_leading_ready_session_command(guard.fence)
            if claim is None:
                return None
            await runtime.refresh()
            await run_claimed_command(runtime, store, guard, claim)
            return claim.batches[0]
        finally:
            await guard.release()
    finally:
        runtime.turn_memory.end()
