"""The process registry over Redis, put together from its parts."""

from __future__ import annotations

from lash_core.redis_store.fleet_gauges import FleetGauges
from lash_core.redis_store.notices import RedisProcessNotices
from lash_core.redis_store.process_children import ProcessChildren
from lash_core.redis_store.process_claims import ProcessClaims
from lash_core.redis_store.process_completion import ProcessCompletion
from lash_core.redis_store.process_handovers import ProcessHandovers
from lash_core.redis_store.process_observation import ProcessObservationReads
from lash_core.redis_store.process_prune import ProcessPrune
from lash_core.redis_store.process_reads import ProcessReads
from lash_core.redis_store.process_run_waits import ProcessRunWaitOperations
from lash_core.redis_store.process_waits import ProcessWaits
from lash_core.store.contract_names import ContractNames
from lash_core.store.process_notices import ProcessNotices


class RedisProcessRegistry(
    ProcessChildren,
    ProcessCompletion,
    ProcessClaims,
    ProcessPrune,
    ProcessHandovers,
    ProcessReads,
    ProcessObservationReads,
    ProcessWaits,
    ProcessRunWaitOperations,
    FleetGauges,
    ContractNames,
):
    """``ProcessRegistry`` and what goes with it over Redis; each part is a file of its own."""

    def notices(self) -> ProcessNotices:
        """A new ear with connections of its own; close it."""
        return RedisProcessNotices(self._context, self._due_times.hear)

    async def close(self) -> None:
        """End what listens for waiters. May be called twice; the connections belong to the stores."""
        await self._done_channels.close()

    def __repr__(self) -> str:
        return f"RedisProcessRegistry(namespace={self._context.keyspace.namespace!r})"
