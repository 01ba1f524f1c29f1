"""Everything that a session has under its id, and its deletion (``docs/contracts/sessions.md`` 2.6; docs/adr/0166)."""

from __future__ import annotations

from lash_core.errors import NotDoneError
from lash_core.model.execution_scope import ExecutionScope
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import PartitionKeys, scope_hash
from lash_core.redis_store.live_ring import live_ring_keys
from lash_core.redis_store.scripts import Call
from lash_core.store.live_replay_bounds import FORGOTTEN_KEPT_MS

OPEN_TURNS_MAX = 16
"""Tries while others open turns: each of them takes a lease and a write first."""


def session_state_keys(keys: PartitionKeys, session_id: str) -> tuple[str, ...]:
    """The keys of a session's own state; the head is the first.

    Grants, wakes of processes and promises are not among them.
    """
    return (
        keys.session_head(session_id),
        keys.session_nodes(session_id),
        keys.session_node_order(session_id),
        keys.session_tombstones(session_id),
        keys.session_usage(session_id),
        keys.session_blobs(session_id),
        keys.session_stamps(session_id),
        keys.session_stamp_order(session_id),
        keys.session_queue(session_id),
        keys.session_queue_order(session_id),
        keys.session_queue_due(session_id),
        keys.session_source_keys(session_id),
        keys.session_settled_sources(session_id),
        keys.session_inputs(session_id),
        keys.session_input_order(session_id),
        keys.session_attachments(session_id),
        keys.session_tasks(session_id),
    )


async def delete_session_state(context: RedisContext, session_id: str) -> None:
    """Forget a session's own state, its lease and the journal of its open turn; refuse the keys of its promises.

    Atomic, safe to repeat, works on a full server.

    Raises:
        NotDoneError: others opened turns of it all the time.
    """
    keys = context.keyspace.of_session(session_id)
    head, *others = session_state_keys(keys, session_id)
    fixed = (keys.session_leases, keys.session_expiries, keys.sessions_ready, keys.session_deaths)
    channels = (keys.session_promises(session_id), keys.session_channel(session_id))
    live = live_ring_keys(keys, session_id)
    turn_id = ""
    for _ in range(OPEN_TURNS_MAX):
        scope = scope_hash(ExecutionScope.turn(session_id, turn_id)) if turn_id else ""
        names = (head, keys.scope_journal(scope), keys.scopes, keys.sessions, *fixed, *channels, *live, *others)
        call = Call("delete_session", names, (session_id, turn_id, scope, FORGOTTEN_KEPT_MS))
        reply = (await context.scripts.run([call], durable=True))[0]
        if reply[0] != "open":
            return
        turn_id = reply[1]
    raise NotDoneError(f"session `{session_id}` opens turn after turn; delete it again", field="session_id")
