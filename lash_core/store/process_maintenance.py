"""What the fleet's own loops ask of a registry: outbox, reaper, exporter, readiness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from lash_core.model.owner import ProcessTable
from lash_core.model.reports import ChangeCursor
from lash_core.store.process_notices import ProcessNotices


@dataclass(frozen=True, slots=True)
class FleetFacts:
    """Gauges of a whole fleet, read in bounded work. Ages in ms by the server's clock."""

    processes: dict[str, int] = field(default_factory=dict)
    """Status → rows."""
    ready: dict[str, int] = field(default_factory=dict)
    """Queue → rows due now."""
    delayed: dict[str, int] = field(default_factory=dict)
    """Queue → rows due later or waiting for an event."""
    oldest_ready_ms: dict[str, int] = field(default_factory=dict)
    """Queue → age of its oldest due row."""
    leases: int = 0
    leases_by_queue: dict[str, int] = field(default_factory=dict)
    sessions_due: int = 0
    """Sessions with due work that nobody holds; in memory 0, as the next two."""
    oldest_session_due_ms: int = 0
    """How long the first of them waits."""
    session_leases: int = 0
    outbox_depth: int = 0
    memory_bytes: dict[str, int] = field(default_factory=dict)
    """Key family → bytes, estimated from samples."""
    grace_until_ms: int | None = None
    server_time_ms: int = 0


@runtime_checkable
class ProcessMaintenance(Protocol):
    """Housekeeping of one registry. Every verb is safe to repeat and bounded by its ``limit``."""

    def partition_count(self) -> int:
        """Partitions of the namespace; 1 in memory."""
        ...

    def store_warnings(self) -> tuple[str, ...]:
        """What is doubtful about the store as it is now, as sentences for people; empty in memory."""
        ...

    def use_process_table(self, table: ProcessTable) -> None:
        """Prove deaths of this host's processes with ``table`` from now on; a worker brings its own.

        Without a table ``reclaim_process_lease`` answers ``Busy`` while a lease is live.
        """
        ...

    def notices(self) -> ProcessNotices:
        """A new ear; close it."""
        ...

    def earliest_cursor(self, cursors: Sequence[ChangeCursor]) -> ChangeCursor | None:
        """The position that none of these is behind, compared per partition: where retention must stop. None for none.

        Raises: InvalidCursorError.
        """
        ...

    def next_due_ms(self) -> Mapping[int, int]:
        """Partition → earliest due time after now (server ms) as last learned from claims and notices: a hint."""
        ...

    async def ready_at_ms(self, process_id: str) -> float | None:
        """When a row that nobody holds may be claimed, by the server's clock; infinite: something must happen first.

        None for a row that is held, has ended or is unknown. For tools: the answer may be old when it arrives.
        """
        ...

    async def deliver_outbox(self, *, min_age_ms: int, limit: int) -> int:
        """Carry out steps for other partitions that are older than ``min_age_ms``; returns how many are done."""
        ...

    async def drop_unused_owners(self, limit: int) -> int:
        """Drop owner identities that no lease names; returns how many."""
        ...

    async def fleet_facts(self) -> FleetFacts:
        """Gauges for the exporter and ``doctor``."""
        ...

    async def grace_until_ms(self) -> int | None:
        """End of a running failover grace (the latest over all partitions), or None."""
        ...

    async def check_writable(self) -> float:
        """Write and read back one bounded key.

        Returns the round trip in ms. Raises: StoreUnreachableError, StoreRefusedError.
        """
        ...

    async def server_time_ms(self) -> int:
        """The server's clock."""
        ...
