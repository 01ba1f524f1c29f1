"""Taking ready rows in batches, and giving expired leases back to their queues (DESIGN 3.2, 4)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import InvalidArgumentError
from lash_core.memory_store.detach import detached_record
from lash_core.memory_store.leases import give_lease
from lash_core.memory_store.part import RegistryPart
from lash_core.memory_store.row import NEVER, Row
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.ids import check_lease_ttl
from lash_core.model.lease import ClaimedProcess, takeover_backoff_ms
from lash_core.model.owner import LeaseOwnerIdentity


class ClaimOperations(RegistryPart):
    """``claim_ready_processes`` and ``requeue_expired_leases``."""

    async def claim_ready_processes(
        self,
        owner: LeaseOwnerIdentity,
        limit: int,
        lease_ttl_ms: int,
        queues: Sequence[str] = ("default",),
        *,
        partitions: Sequence[int] | None = None,
    ) -> tuple[ClaimedProcess, ...]:
        """Take up to ``limit`` due rows of ``queues``, each under its own attempt's incarnation."""
        check_lease_ttl(lease_ttl_ms)
        if limit < 0:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 0", field="limit", value=limit)
        if partitions is not None and 0 not in partitions:
            return ()
        with self._state.lock:
            self._requeue(self._state.limits.batch_max, queues)
            taken: list[ClaimedProcess] = []
            for queue in dict.fromkeys(queues):
                self._take_from(queue, owner, limit, lease_ttl_ms, taken)
            return tuple(taken)

    def _take_from(
        self, queue: str, owner: LeaseOwnerIdentity, limit: int, lease_ttl_ms: int, taken: list[ClaimedProcess]
    ) -> None:
        if len(taken) >= limit:
            return
        for row in self._state.take_due(queue, self._state.clock.now_ms()):
            due_at_ms = int(row.due_ms)
            lease = give_lease(self._state, row, owner, lease_ttl_ms, batch=True)
            taken.append(ClaimedProcess(lease=lease, record=detached_record(row.record), due_at_ms=due_at_ms))
            if len(taken) >= limit:
                return

    async def requeue_expired_leases(self, limit: int, queues: Sequence[str] | None = None) -> int:
        """Give up to ``limit`` expired leases back to their rows' queues, counting each death."""
        with self._state.lock:
            return self._requeue(limit, queues)

    def _requeue(self, limit: int, queues: Sequence[str] | None) -> int:
        now_ms = self._state.clock.now_ms()
        expired = [
            row
            for row in self._state.held.values()
            if row.holding is not None
            and not row.holding.lease.is_live(now_ms)
            and (queues is None or row.record.queue in queues)
        ]
        expired.sort(key=lambda row: row.holding.lease.expires_at_epoch_ms if row.holding is not None else 0)
        expired = expired[: max(limit, 0)]
        for row in expired:
            self._state.count_death(row, "death", "expired")
            self._state.let_go(row)
            if not row.record.is_terminal:
                self._state.schedule(row, _due_after_death(row, now_ms))
        return len(expired)


def _due_after_death(row: Row, now_ms: int) -> float:
    record = row.record
    if record.disposition is RecoveryDisposition.EXTERNALLY_OWNED:
        return NEVER if record.abandon_request is None else now_ms
    if record.disposition is RecoveryDisposition.OWNER_BOUND and record.first_started is not None:
        # Offered once more, so that a worker decides on the row by contract 3.4.
        return now_ms
    return max(now_ms + takeover_backoff_ms(record.deaths), record.due_at_ms or 0)
