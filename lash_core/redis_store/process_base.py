"""What the parts of the Redis process registry share: context, row reader, fenced writes, caller's process table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.errors import LashError, LeaseLostError, OutcomeUnknownError, StoreBehindError, UnknownProcessError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.owner import ProcessTable
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.environment_ages import EnvironmentAges
from lash_core.redis_store.keys import PartitionKeys
from lash_core.redis_store.row_reader import RowReader, StoredRegistration

STALE_RETRIES_MAX = 3
"""Times a verb reads a registration again after ``stale``: each one means a prune and a new start in between."""


class ProcessRegistryBase:
    """Shared state of the registry's parts.

    Args:
        context: connection, scripts, keys and settings of one namespace.
        process_table: the caller's view of its own host's processes, for proofs of death; None proves nothing.
    """

    def __init__(self, context: RedisContext, process_table: ProcessTable | None = None) -> None:
        self._context = context
        if process_table is not None:
            context.proofs.table = process_table
        self._rows = RowReader(context)
        self._environments = EnvironmentAges(context)
        self._writes = context.writes

    def durability_tier(self) -> DurabilityTier:
        """Durable: rows survive this OS process."""
        return DurabilityTier.DURABLE

    def use_process_table(self, table: ProcessTable) -> None:
        """Prove deaths of this host's processes with ``table`` from now on, for leases of rows and of sessions."""
        self._context.proofs.table = table

    def _keys(self, process_id: str) -> PartitionKeys:
        return self._context.keyspace.of_process(process_id)

    async def _require_registration(self, process_id: str) -> StoredRegistration:
        """The row's registration. Raises: UnknownProcessError."""
        stored = await self._rows.registration(process_id)
        if stored is None:
            raise UnknownProcessError(process_id)
        return stored

    def _by_partition(self, process_ids: Sequence[str]) -> list[tuple[PartitionKeys, list[int]]]:
        """Places of the ids, grouped by partition, in groups that one script call may take."""
        limit = self._context.settings.limits.batch_max
        open_groups: dict[int, list[int]] = {}
        groups: list[tuple[PartitionKeys, list[int]]] = []
        for place, process_id in enumerate(process_ids):
            keys = self._keys(process_id)
            group = open_groups.get(keys.index)
            if group is None or len(group) >= limit:
                group = open_groups[keys.index] = []
                groups.append((keys, group))
            group.append(place)
        return groups


def lease_answer(process_id: str, word: str, detail: Any = None, *, acknowledged: int = 0) -> LashError | None:
    """The error of a fenced script's answer, or None when the answer is about something else.

    ``unknown``, ``lost <expired|taken|released>`` and ``behind <accepted writes>`` mean the same in every script.
    """
    match word:
        case "unknown":
            return UnknownProcessError(process_id)
        case "lost":
            return LeaseLostError(process_id, str(detail))
        case "behind":
            return StoreBehindError(process_id, acknowledged=acknowledged, stored=int(detail))
        case _:
            return None


def still_stale(process_id: str) -> OutcomeUnknownError:
    """The id was pruned and started anew again and again while a verb looked at it."""
    return OutcomeUnknownError(f"process `{process_id}` keeps changing its registration", process_id=process_id)
