"""Execution leases of one session over Redis. Only the server's clock decides.

``docs/contracts/sessions.md`` 2.3; decisions 2, 9.
"""

from __future__ import annotations

import secrets
from typing import Any

from lash_core.errors import ClaimsPausedError
from lash_core.model.ids import check_lease_ttl
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_lease import (
    SessionExecutionLease,
    SessionExecutionLeaseCompletion,
    SessionExecutionLeaseFence,
    SessionLeaseAcquired,
    SessionLeaseBusy,
    SessionLeaseOutcome,
)
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.lease_codec import attempt_of, encode_identity, owner_digest
from lash_core.redis_store.leased_session import LeasedSession, session_fence_argument
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import time_commands, time_us
from lash_core.redis_store.session_lease_codec import decode_session_lease, owner_digest_of


class SessionLeases(LeasedSession):
    """One writer of a session."""

    async def try_claim_session_execution_lease(
        self, session_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int
    ) -> SessionLeaseOutcome:
        """Take the session, or extend what this incarnation holds. Atomic; safe to repeat for one incarnation.

        Raises:
            SessionBindingMismatchError, InvalidArgumentError (the TTL), UnknownSessionError (it was deleted).
            ClaimsPausedError: a grace after a failover runs.
        """
        return await self._claim("claim_session_lease", session_id, owner, lease_ttl_ms, ())

    async def reclaim_session_execution_lease(
        self, session_id: str, owner: LeaseOwnerIdentity, observed: SessionExecutionLeaseFence, lease_ttl_ms: int
    ) -> SessionLeaseOutcome:
        """Take over from the observed holder if this client proves it dead: compare and swap. What is free is claimed.

        Raises:
            as ``try_claim_session_execution_lease``.
        """
        self._check_bound(observed.session_id)
        # The proof is of whom the store names: what the caller observed may say anything of its liveness.
        held = await self.get_session_execution_lease(session_id)
        proved = held is not None and held.same_acquisition(observed) and self._context.proofs.proves(held.owner, owner)
        further = (session_fence_argument(observed), observed.lease_token, "1" if proved else "0")
        return await self._claim("reclaim_session_lease", session_id, owner, lease_ttl_ms, further)

    async def _claim(
        self, script: str, session_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int, further: tuple[str, ...]
    ) -> SessionLeaseOutcome:
        self._check_bound(session_id)
        check_lease_ttl(lease_ttl_ms)
        keys = self._keys
        claimant = (owner_digest(owner), *attempt_of(owner), encode_identity(owner))
        token = secrets.token_hex(8)
        args = (session_id, *claimant, token, lease_ttl_ms, grace_argument(self._context), *further)
        call = Call(script, (*self._script_keys, keys.meta, keys.identities), args)
        # On ``replicated`` a lease is replicated before work starts; on the other levels fences are enough.
        durable = self._context.settings.durability == "replicated"
        reply: list[Any] = (await self._context.scripts.run([call], durable=durable))[0]
        match reply[0]:
            case "unknown":
                raise self._refused("unknown")
            case "quiet":
                raise ClaimsPausedError(None, int(reply[1]), session_id=session_id)
            case "busy":
                return SessionLeaseBusy(self._lease(reply[1], int(reply[2]), reply[3] or None))
            case word:
                lease = self._lease(reply[1], int(reply[2]), None).model_copy(update={"owner": owner})
                # The own token: a first try whose reply was lost took it.
                return SessionLeaseAcquired(lease, reentrant=word == "reentrant" and lease.lease_token != token)

    async def renew_session_execution_lease(
        self, fence: SessionExecutionLeaseFence, lease_ttl_ms: int
    ) -> SessionExecutionLease:
        """Extend a live lease; token and fence stay. Safe to repeat.

        Raises:
            SessionExecutionLeaseExpiredError: it is over, released or somebody else's.
        """
        check_lease_ttl(lease_ttl_ms)
        args = (*self._fence_args(fence), lease_ttl_ms)
        call = Call("renew_session_lease", (*self._script_keys, self._keys.meta), args)
        reply: list[Any] = (await self._context.scripts.run([call]))[0]
        if reply[0] != "renewed":
            raise self._refused(reply[0], reply[1])
        return self._lease(reply[1], int(reply[2]), None).model_copy(update={"owner": fence.owner})

    async def release_session_execution_lease(self, completion: SessionExecutionLeaseCompletion) -> bool:
        """Release when it is still this one, live or not; else nothing happens. A repeat answers False."""
        return await release_session(self._context, completion, self._fence_args(completion), self._script_keys, 0)

    async def get_session_execution_lease(self, session_id: str) -> SessionExecutionLease | None:
        """The live lease, or None."""
        self._check_bound(session_id)
        keys = self._keys
        commands = [
            Command(keys.session_leases, ("HGET", keys.session_leases, session_id)),
            Command(keys.session_expiries, ("ZSCORE", keys.session_expiries, session_id)),
            *time_commands(self._context, keys.session_leases),
        ]
        value, expiry, *clock = await self._context.connection.read(commands)
        if value is None or expiry is None or int(float(expiry)) <= time_us(clock) // 1_000:
            return None
        identities = Command(keys.identities, ("HGET", keys.identities, owner_digest_of(value)))
        (identity,) = await self._context.connection.read([identities])
        return self._lease(value, int(float(expiry)), identity)

    def _lease(self, value: str, expires_at_ms: int, identity: str | None) -> SessionExecutionLease:
        return decode_session_lease(self._session_id, value, expires_at_ms, identity, key=self._keys.session_leases)


def grace_argument(context: RedisContext) -> str:
    """The failover guard's argument: blank = the rule of DESIGN 3.3 rule 5."""
    grace = context.settings.failover_grace_ms
    return "" if grace is None else str(grace)


async def release_session(
    context: RedisContext,
    lease: SessionExecutionLeaseCompletion,
    fence_args: tuple[str, str, str],
    script_keys: tuple[str, ...],
    delay_ms: int,
) -> bool:
    """Release a lease; nobody of the fleet claims the session before ``delay_ms``. False: it was not this one."""
    call = Call("release_session_lease", script_keys, (*fence_args, delay_ms))
    return (await context.scripts.run([call], durable=True))[0] == "released"
