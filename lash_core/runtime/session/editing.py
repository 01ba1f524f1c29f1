"""Edits of a session between its turns: under its execution lease, on its newest state, stored or not done."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from lash_core.errors import LashError, OutcomeUnknownError
from lash_core.model.session_commit import RuntimeCommit, RuntimeCommitResult
from lash_core.model.session_lease import SessionLeaseAcquired, SessionLeaseBusy
from lash_core.runtime.session.lease_guard import SessionBusyError
from lash_core.runtime.state_export import export_commit, has_something_to_commit
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore


UNKNOWN_REPEATS_MAX = 3
UNKNOWN_REPEAT_DELAY_MS = 100
"""A store repeats by itself for seconds; this is for the moment in which a connection is made again."""


@asynccontextmanager
async def editing(runtime: RuntimeCore) -> AsyncGenerator[None]:
    """Hold the session, bring the state up to date, let the caller change it, and commit what is new.

    A failure, of the change or of its commit, leaves the state as it was read. Without a store the change is only in
    memory. The commit releases the lease: three round trips.

    Raises:
        SessionBusyError: somebody else writes the session, or a turn of this runtime runs. Store errors.
    """
    runtime.turn_memory.begin(runtime.session_id)
    try:
        if runtime.store is None:
            yield
            return
        claimed = await claim_session(runtime, runtime.store)
        try:
            await runtime.refresh()
            before, stored = runtime.state.copy(), runtime.stored_node_count
            try:
                yield
                if has_something_to_commit(runtime):
                    await commit_under(runtime, runtime.store, claimed)
                else:
                    await give_back(runtime.store, claimed)
            except BaseException:
                runtime.state, runtime.stored_node_count, runtime.policy = before, stored, before.policy
                raise
        except BaseException:
            await give_back(runtime.store, claimed)
            raise
    finally:
        runtime.turn_memory.end()


async def commit_with_fresh_lease(runtime: RuntimeCore, store: RuntimePersistence) -> RuntimeCommitResult:
    """Commit the runtime's state under a lease that the commit itself releases: two round trips.

    A lease that this incarnation holds already is used and kept.

    Raises:
        SessionBusyError: somebody else writes the session. What the store refuses: nothing was written.
    """
    claimed = await claim_session(runtime, store)
    try:
        return await commit_under(runtime, store, claimed)
    except BaseException:
        await give_back(store, claimed)
        raise


async def claim_session(runtime: RuntimeCore, store: RuntimePersistence) -> SessionLeaseAcquired:
    """The session's lease for this runtime's owner.

    Raises:
        SessionBusyError: somebody else writes the session.
    """
    timings = runtime.host.core.session_lease_timings
    claimed = await store.try_claim_session_execution_lease(
        runtime.session_id, runtime.runtime_lease_owner, timings.ttl_ms
    )
    if isinstance(claimed, SessionLeaseBusy):
        raise SessionBusyError(runtime.session_id, claimed.holder)
    return claimed


async def commit_under(
    runtime: RuntimeCore, store: RuntimePersistence, claimed: SessionLeaseAcquired
) -> RuntimeCommitResult:
    """Commit what the runtime has, with the children's usage, and release the lease unless it was held before.

    The commit has a stamp of its own: when its reply is lost it is repeated, and answered as it was the first time.
    """
    usage = tuple(runtime.shared_token_ledger)
    commit = export_commit(runtime, fence=claimed.lease.fence, release_lease=not claimed.reentrant, usage_deltas=usage)
    result = await _written(store, commit.stamped(f"e_{uuid.uuid4().hex}"))
    runtime.apply_commit_result(commit, result)
    runtime.note_stored(usage)
    runtime.turn_memory.generation = None
    return result


async def _written(store: RuntimePersistence, commit: RuntimeCommit) -> RuntimeCommitResult:
    for _ in range(UNKNOWN_REPEATS_MAX):
        try:
            return await store.commit_runtime_state(commit)
        except OutcomeUnknownError:
            await asyncio.sleep(UNKNOWN_REPEAT_DELAY_MS / 1_000)
    return await store.commit_runtime_state(commit)


async def give_back(store: RuntimePersistence, claimed: SessionLeaseAcquired) -> None:
    """Release a lease after a failure; one that was held before stays. What goes wrong here is not reported."""
    if claimed.reentrant:
        return
    try:
        await store.release_session_execution_lease(claimed.lease.completion)
    except (LashError, OSError):
        # It ends by itself; the error that is being reported matters more.
        return
