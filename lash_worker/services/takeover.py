"""Takes work over from dead workers of this host as soon as their death is proved, long before their leases expire."""

from __future__ import annotations

import asyncio
import logging
import random

from lash_core.clock import own_time_ms
from lash_core.errors import LashError
from lash_core.model.lease import ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity, is_provably_dead
from lash_core.store.fleet_directory import FleetDirectory
from lash_worker.driver import ProcessWorkDriver
from lash_worker.services.fleet_view import FleetView
from lash_worker.services.service import Service
from lash_worker.services.session_takeover import SessionTakeover

LOOK_MS = 100.0
"""Between two looks at the peers' pids: one system call a peer."""
OWNERS_MS = 10_000.0
"""Between two reads of who holds leases: finds owners that the directory does not name, such as workers of before."""
LEASES_MAX = 200
RECLAIMS_AT_ONCE = 32
ROUNDS_MAX = 100
"""200 leases a round: more than any worker can hold."""

_log = logging.getLogger(__name__)


class Takeover(Service):
    """Reclaims the leases of provably dead owners. Elapsed time is no proof; whatever is unreadable counts as alive."""

    name = "takeover"
    grace_seconds = 5.0

    def __init__(self, driver: ProcessWorkDriver, view: FleetView, directory: FleetDirectory) -> None:
        super().__init__(driver.context.metrics.service_crashed)
        self._driver = driver
        self._view = view
        self._directory = directory
        self._owners_at = own_time_ms()
        self.sessions: SessionTakeover | None = None
        """Frees the sessions of the dead; None for a worker that runs none."""

    async def run(self) -> None:
        """Look at the peers until stopped."""
        while not self.is_stopping and self._driver.is_accepting:
            try:
                if own_time_ms() >= self._owners_at:
                    self._owners_at = own_time_ms() + OWNERS_MS
                    for owner in await self._owners():
                        self._view.see_owner(owner)
                await self.look()
            except (LashError, OSError) as error:
                self._driver.context.metrics.redis_errors.inc()
                _log.warning("takeover waits for the store: %s", error)
                await self.pause(LOOK_MS * 5)
            await self.pause(LOOK_MS)
        await self.pause(OWNERS_MS)

    async def look(self) -> None:
        """Take over from every peer that is provably dead now."""
        context = self._driver.context
        for incarnation_id, owner in list(self._view.peers.items()):
            if is_provably_dead(owner, context.identity, context.process_table):
                await self._take_over(owner)
                self._view.forget_peer(incarnation_id)

    async def _owners(self) -> tuple[LeaseOwnerIdentity, ...]:
        owners = await self._driver.context.registry.lease_owners()
        return tuple(owners) if self.sessions is None else (*owners, *await self.sessions.owners())

    async def _take_over(self, owner: LeaseOwnerIdentity) -> None:
        proved_at_ms = own_time_ms()
        taken = 0
        if self.sessions is not None:
            await self.sessions.free_sessions_of(owner)
        for _ in range(ROUNDS_MAX):
            leases = list(await self._driver.context.registry.leases_of_owner(owner, LEASES_MAX))
            if not leases or not self._driver.is_accepting:
                break
            # Peers of this host do the same at the same moment: another order each keeps them out of each other's way.
            random.shuffle(leases)
            for at in range(0, len(leases), RECLAIMS_AT_ONCE):
                answers = await asyncio.gather(
                    *(self._reclaim(lease, owner, proved_at_ms) for lease in leases[at : at + RECLAIMS_AT_ONCE])
                )
                taken += sum(answers)
        await self._tidy_directory(owner)
        if taken:
            _log.info(
                "took %d processes over from %s, which is dead",
                taken,
                owner.owner_id,
                extra={"dead_owner": owner.owner_id},
            )

    async def _reclaim(self, lease: ProcessLease, owner: LeaseOwnerIdentity, proved_at_ms: float) -> bool:
        taken = await self._driver.reclaim(lease, owner)
        if taken:
            metrics = self._driver.context.metrics
            metrics.taken_over_dead.inc()
            metrics.takeover_seconds.observe((own_time_ms() - proved_at_ms) / 1_000)
        return taken

    async def _tidy_directory(self, owner: LeaseOwnerIdentity) -> None:
        for entry in await self._directory.list_workers(seen_within_ms=None):
            if entry.identity.same_incarnation(owner):
                await self._directory.remove_worker(entry.worker_id)
