"""A session leaves memory and comes back, on any machine of the fleet; reads of what is not resident.

``docs/contracts/sessions.md`` 2.8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lash_core.errors import LashError, OutcomeUnknownError
from lash_core.errors.session import SessionError
from lash_core.model.session import SessionPolicy
from lash_core.model.session_commit import FullGraph
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.session.editing import commit_with_fresh_lease
from lash_core.runtime.state_export import has_something_to_commit
from lash_core.runtime.state_loading import load_for_residency
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime
    from lash_core.runtime.runtime_environment import RuntimeEnvironment


@dataclass(frozen=True, slots=True)
class ParkedSession:
    """A session that left memory: id, policy and where its state is. It holds no nodes, plugins or connections."""

    session_id: str
    store: RuntimePersistence
    policy: SessionPolicy


async def park(runtime: LashRuntime) -> ParkedSession:
    """Store what is not stored yet, and drop the session. See ``LashRuntime.park``."""
    store = require_store(runtime, "park()")
    runtime.managed_sessions.require_idle("parked")
    await runtime.background_tasks.await_hidden_tasks(runtime.session_id)
    runtime.turn_memory.begin(runtime.session_id)
    try:
        if has_something_to_commit(runtime):
            await commit_with_fresh_lease(runtime, store)
    except OutcomeUnknownError as error:
        raise OutcomeUnknownError(f"failed to persist runtime state: {error}") from error
    except LashError as error:
        raise SessionError(
            f"failed to persist runtime state: {error}", field="session_id", value=runtime.session_id
        ) from error
    except Exception as error:
        # A store that is no part of lash: what it raises does not say whether it wrote.
        raise OutcomeUnknownError(f"failed to persist runtime state: {error}") from error
    finally:
        runtime.turn_memory.end()
    await runtime.close_managed_sessions()
    await runtime.background_tasks.close_background_tasks(runtime.session_id)
    runtime.close()
    return ParkedSession(runtime.session_id, store, runtime.policy)


async def resume(cls: type[LashRuntime], parked: ParkedSession, env: RuntimeEnvironment) -> LashRuntime:
    """Build a parked session again. See ``LashRuntime.resume``."""
    try:
        state = await load_for_residency(parked.store, env.residency)
    except OutcomeUnknownError:
        raise
    except Exception as error:
        raise SessionError(
            f"failed to load runtime state: {error}", field="session_id", value=parked.session_id
        ) from error
    if state is None:
        state = RuntimeSessionState(session_id=parked.session_id, policy=parked.policy)
    return await cls.from_environment(env, parked.policy, state, parked.store)


async def get_historic_node(runtime: LashRuntime, node_id: str) -> SessionNodeRecord | None:
    """See ``LashRuntime.get_historic_node``."""
    node = runtime.state.session_graph.find_node(node_id)
    if node is not None:
        return node
    store = require_store(runtime, "get_historic_node()")
    try:
        return await store.load_node(node_id)
    except OutcomeUnknownError:
        raise
    except Exception as error:
        raise SessionError(f"failed to load historic node: {error}", field="node_id", value=node_id) from error


async def orphaned_node_ids(runtime: LashRuntime) -> list[str]:
    """See ``LashRuntime.orphaned_node_ids``."""
    store = require_store(runtime, "orphaned_node_ids()")
    try:
        read = await store.load_session(FullGraph())
    except OutcomeUnknownError:
        raise
    except Exception as error:
        raise SessionError(f"failed to load full graph: {error}") from error
    return [] if read is None else read.graph.orphaned_node_ids()


def require_store(runtime: LashRuntime, what: str) -> RuntimePersistence:
    """The runtime's store.

    Raises:
        SessionError: there is none; it says what needed it.
    """
    if runtime.store is None:
        raise SessionError(f"{what} requires a persistent runtime (store is not set)", field="store")
    return runtime.store
