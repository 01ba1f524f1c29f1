"""The directory of a fleet: live workers, kind manifests, projectors (DESIGN 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.model.reports import ChangeCursor


@runtime_checkable
class FleetDirectory(Protocol):
    """Who works here and what they can do. Hints only: nothing in it decides about a lease."""

    async def publish_worker(self, entry: WorkerEntry) -> bool:
        """Write or refresh a worker's entry (its beat); returns True when a drain of it was requested."""
        ...

    async def remove_worker(self, worker_id: str) -> None:
        """Take a worker out. Safe to repeat."""
        ...

    async def list_workers(self, *, seen_within_ms: int | None = 30_000) -> tuple[WorkerEntry, ...]:
        """Workers by id; None lists the silent ones too."""
        ...

    async def request_drain(self, worker_id: str) -> bool:
        """Ask a worker to drain; False when it is not in the directory."""
        ...

    async def publish_kinds(self, manifests: Sequence[KindManifest]) -> None:
        """Write manifests; they outlive the worker."""
        ...

    async def list_kinds(self) -> tuple[KindManifest, ...]:
        """All manifests by kind."""
        ...

    async def get_kind(self, kind: str) -> KindManifest | None:
        """One manifest."""
        ...

    async def remove_kind(self, kind: str) -> bool:
        """Drop a manifest; False when there was none."""
        ...

    async def put_projector(self, name: str, cursor: ChangeCursor) -> None:
        """Record a projector's position and that it was seen now.

        Raises:
            InvalidArgumentError: the name is not a legal id. LimitExceededError: too many projectors.
        """
        ...

    async def projectors(self) -> dict[str, tuple[ChangeCursor, int]]:
        """Projector → position and when it was last seen (ms)."""
        ...

    async def forget_projector(self, name: str) -> bool:
        """Stop honouring a projector; False when unknown. Raises: InvalidArgumentError: the name is not a legal id."""
        ...
