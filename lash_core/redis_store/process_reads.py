"""Point reads of rows over Redis (contract 2.6, hazard 7)."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import CorruptRecordError
from lash_core.model.record import ProcessRecord
from lash_core.redis_store.process_base import ProcessRegistryBase


class ProcessReads(ProcessRegistryBase):
    """``get_process`` and ``get_processes``."""

    async def get_process(self, process_id: str) -> ProcessRecord | None:
        """The row, or None when there is none.

        Raises:
            StoreUnreachableError: a store failure never reads as absent. CorruptRecordError, NewerRecordError.
        """
        return await self._rows.read_one(process_id)

    async def get_processes(self, process_ids: Sequence[str]) -> tuple[ProcessRecord | None, ...]:
        """Rows by id, in order, None for an absent one; read in pages of ``page_max``. Raises as ``get_process``."""
        page = self._context.settings.limits.page_max
        found: list[ProcessRecord | None] = []
        for start in range(0, len(process_ids), page):
            for row in await self._rows.read_rows(process_ids[start : start + page]):
                if isinstance(row, CorruptRecordError):
                    raise row
                found.append(row)
        return tuple(found)
