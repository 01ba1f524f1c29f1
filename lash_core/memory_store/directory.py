"""The fleet directory in memory: the model of the Redis one."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.clock import Clock
from lash_core.model.ids import check_projector_name
from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.model.reports import ChangeCursor
from lash_core.store.directory_records import (
    KINDS_MAX,
    PROJECTORS_MAX,
    SILENT_MS,
    WORKERS_MAX,
    check_manifest,
    check_worker,
    encode_entry,
    full,
)


class MemoryFleetDirectory:
    """``FleetDirectory`` of one OS process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._workers: dict[str, WorkerEntry] = {}
        self._kinds: dict[str, KindManifest] = {}
        self._projectors: dict[str, tuple[ChangeCursor, int]] = {}

    async def publish_worker(self, entry: WorkerEntry) -> bool:
        """Write or refresh a worker's entry; returns True when a drain of this incarnation was requested.

        Raises:
            InvalidArgumentError: the worker id is not legal. LimitExceededError: the entry is over its size.
        """
        check_worker(entry)
        encode_entry(entry, field="worker")
        now_ms = self._clock.now_ms()
        for worker_id in [name for name, kept in self._workers.items() if kept.seen_at_ms < now_ms - SILENT_MS]:
            del self._workers[worker_id]
        if entry.worker_id not in self._workers and len(self._workers) >= WORKERS_MAX:
            del self._workers[min(self._workers, key=lambda name: (self._workers[name].seen_at_ms, name))]
        kept = self._workers.get(entry.worker_id)
        same = kept is not None and kept.identity.incarnation_id == entry.identity.incarnation_id
        drain = kept is not None and same and kept.drain_requested
        self._workers[entry.worker_id] = entry.model_copy(update={"seen_at_ms": now_ms, "drain_requested": drain})
        return drain

    async def remove_worker(self, worker_id: str) -> None:
        """Take a worker out. Safe to repeat."""
        self._workers.pop(worker_id, None)

    async def list_workers(self, *, seen_within_ms: int | None = 30_000) -> tuple[WorkerEntry, ...]:
        """Workers by id whose last beat is at most ``seen_within_ms`` ago; None lists those of the last day."""
        oldest_ms = 0 if seen_within_ms is None else self._clock.now_ms() - seen_within_ms
        return tuple(entry for _, entry in sorted(self._workers.items()) if entry.seen_at_ms >= oldest_ms)

    async def request_drain(self, worker_id: str) -> bool:
        """Ask a worker to drain, heard with its next beat; False when it is not in the directory."""
        entry = self._workers.get(worker_id)
        if entry is None:
            return False
        self._workers[worker_id] = entry.model_copy(update={"drain_requested": True})
        return True

    async def publish_kinds(self, manifests: Sequence[KindManifest]) -> None:
        """Write manifests; they outlive the worker. Safe to repeat.

        Raises:
            InvalidArgumentError: a kind that is not a legal id.
            LimitExceededError: a manifest over its size, or too many kinds.
        """
        for manifest in manifests:
            check_manifest(manifest)
            encode_entry(manifest, field=f"manifest `{manifest.kind}`")
        merged = self._kinds | {manifest.kind: manifest for manifest in manifests}
        if len(merged) > max(KINDS_MAX, len(self._kinds)):
            raise full("kinds", KINDS_MAX)
        self._kinds = merged

    async def list_kinds(self) -> tuple[KindManifest, ...]:
        """All manifests by kind."""
        return tuple(manifest for _, manifest in sorted(self._kinds.items()))

    async def get_kind(self, kind: str) -> KindManifest | None:
        """One manifest, or None."""
        return self._kinds.get(kind)

    async def remove_kind(self, kind: str) -> bool:
        """Drop a manifest; False when there was none."""
        return self._kinds.pop(kind, None) is not None

    async def put_projector(self, name: str, cursor: ChangeCursor) -> None:
        """Record a projector's position and that it was seen now. Safe to repeat.

        Raises:
            InvalidArgumentError: the name is not a legal id. LimitExceededError: too many projectors.
        """
        check_projector_name(name)
        if name not in self._projectors and len(self._projectors) >= PROJECTORS_MAX:
            raise full("projectors", PROJECTORS_MAX)
        self._projectors[name] = (cursor, self._clock.now_ms())

    async def projectors(self) -> dict[str, tuple[ChangeCursor, int]]:
        """Projector → position and when it was last seen (ms)."""
        return dict(sorted(self._projectors.items()))

    async def forget_projector(self, name: str) -> bool:
        """Stop honouring a projector; False when unknown. Raises: InvalidArgumentError: the name is not a legal id."""
        check_projector_name(name)
        return self._projectors.pop(name, None) is not None
