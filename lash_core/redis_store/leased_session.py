"""What calls under a session's execution lease share: the keys of their scripts in order, how a lease is named."""

from __future__ import annotations

from typing import Any

from lash_core.errors import LashError, UnknownSessionError
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import SessionExecutionLeaseFence
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.lease_codec import owner_digest
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.session_part import SessionPart
from lash_core.store.session_refusals import session_lease_lost


class LeasedSession(SessionPart):
    """A part of ``RedisRuntimePersistence`` whose scripts look at the session's lease, queue or open turn."""

    def __init__(self, context: RedisContext, session_id: str) -> None:
        super().__init__(context, session_id)
        self._script_keys = session_script_keys(self._keys, session_id)

    def _fence_args(self, fence: SessionExecutionLeaseFence) -> tuple[str, str, str]:
        """The first three arguments of a fenced script: session id, fence with the owner's digest, token.

        Raises:
            SessionBindingMismatchError: the lease is of another session.
        """
        self._check_bound(fence.session_id)
        return (self._session_id, session_fence_argument(fence), fence.lease_token)

    def _refused(self, word: str, why: str = "") -> LashError:
        """The error that a script's ``unknown`` or ``lost <why>`` means."""
        if word == "unknown":
            return UnknownSessionError(self._session_id)
        return session_lease_lost(self._session_id, why)

    async def _run_script(self, script: str, *args: str | int) -> Any:
        """Run a script over the session's keys; its writes are confirmed as the settings say."""
        return (await self._context.scripts.run([Call(script, self._script_keys, args)], durable=True))[0]

    async def _run_claim(self, script: str, *args: str | int) -> list[Any] | None:
        """The claim that a script answers, or None.

        A claim is not confirmed: one that a failover loses is refused by the commit that would settle it.

        Raises:
            SessionExecutionLeaseExpiredError: the lease is not live.
        """
        reply: list[Any] = (await self._context.scripts.run([Call(script, self._script_keys, args)]))[0]
        if reply[0] == "lost":
            raise self._refused("lost", reply[1])
        return None if reply[0] == "quiet" else reply[1:]


def session_script_keys(keys: PartitionKeys, session_id: str) -> tuple[str, ...]:
    """The keys that ``includes/session_keys.lua`` names, in its order."""
    return (
        keys.session_head(session_id),
        keys.session_queue(session_id),
        keys.session_queue_order(session_id),
        keys.session_queue_due(session_id),
        keys.session_source_keys(session_id),
        keys.session_settled_sources(session_id),
        keys.session_inputs(session_id),
        keys.session_input_order(session_id),
        keys.session_leases,
        keys.session_expiries,
        keys.sessions_ready,
        keys.session_deaths,
        keys.notices,
        keys.session_channel(session_id),
    )


def session_fence_argument(fence: SessionExecutionLeaseFence) -> str:
    """What scripts compare beside the token: ``<fence>;<owner digest>``."""
    return f"{fence.fencing_token};{session_holder_digest(fence.owner, fence.lease_token)}"


def session_holder_digest(owner: LeaseOwnerIdentity, token: str) -> str:
    """The digest of a lease's owner as stored: of the worker's incarnation when the fleet claimed the session."""
    suffix = f":{token}"
    if owner.incarnation_id.endswith(suffix):
        return owner_digest(owner.with_incarnation(owner.incarnation_id.removesuffix(suffix)))
    return owner_digest(owner)
