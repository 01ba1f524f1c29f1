"""The fleet directory over Redis: hashes and one zset under ``{<ns>:dir}`` (``docs/contracts/redis_layout.md``)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from lash_core.model.ids import check_projector_name
from lash_core.model.manifest import KindManifest, WorkerEntry
from lash_core.model.reports import ChangeCursor
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import kinds_key, projectors_key, worker_beats_key, workers_key
from lash_core.redis_store.scripts import Call
from lash_core.store.directory_records import (
    KINDS_MAX,
    PROJECTORS_MAX,
    SILENT_MS,
    WORKERS_MAX,
    check_manifest,
    check_worker,
    decode_entry,
    encode_entry,
    full,
)

_KINDS_A_CALL = 100
"""Manifests of one script call: at the size limit of an entry still under a second of transfer."""


class RedisFleetDirectory:
    """``FleetDirectory`` over Redis; times are the server's."""

    def __init__(self, context: RedisContext) -> None:
        namespace = context.keyspace.namespace
        self._context = context
        self._workers = workers_key(namespace)
        self._beats = worker_beats_key(namespace)
        self._kinds = kinds_key(namespace)
        self._projectors = projectors_key(namespace)

    async def publish_worker(self, entry: WorkerEntry) -> bool:
        """Write or refresh a worker's entry; returns True when a drain of this incarnation was requested.

        Raises:
            InvalidArgumentError: the worker id is not legal. LimitExceededError: the entry is over its size.
        """
        check_worker(entry)
        text = encode_entry(entry.model_copy(update={"seen_at_ms": 0, "drain_requested": False}), field="worker")
        incarnation = hashlib.sha256(entry.identity.incarnation_id.encode()).hexdigest()[:16]
        args = (entry.worker_id, incarnation, text, SILENT_MS, WORKERS_MAX)
        return await self._run("publish_worker", (self._workers, self._beats), args) == "drain"

    async def remove_worker(self, worker_id: str) -> None:
        """Take a worker out. Safe to repeat."""
        await self._run("remove_worker", (self._workers, self._beats), (worker_id,))

    async def list_workers(self, *, seen_within_ms: int | None = 30_000) -> tuple[WorkerEntry, ...]:
        """Workers by id whose last beat is at most ``seen_within_ms`` ago; None lists those of the last day."""
        now_ms = await self._now_ms()
        oldest = "-inf" if seen_within_ms is None else str(now_ms - seen_within_ms)
        scored, texts = await self._context.connection.read(
            [
                Command(self._beats, ("ZRANGE", self._beats, oldest, "+inf", "BYSCORE", "WITHSCORES")),
                Command(self._workers, ("HGETALL", self._workers)),
            ]
        )
        seen = {worker_id: int(float(score)) for worker_id, score in _pairs(scored)}
        entries = (
            _worker_of(texts[worker_id], at_ms) for worker_id, at_ms in sorted(seen.items()) if worker_id in texts
        )
        return tuple(entry for entry in entries if entry is not None)

    async def request_drain(self, worker_id: str) -> bool:
        """Ask a worker to drain, heard with its next beat; False when it is not in the directory."""
        return await self._run("request_drain", (self._workers,), (worker_id,)) == "requested"

    async def publish_kinds(self, manifests: Sequence[KindManifest]) -> None:
        """Write manifests; they outlive the worker. Safe to repeat; atomic for 100 at a time.

        Raises:
            InvalidArgumentError: a kind that is not a legal id.
            LimitExceededError: a manifest over its size, or too many kinds.
        """
        flat: list[str] = []
        for manifest in manifests:
            check_manifest(manifest)
            flat += [manifest.kind, encode_entry(manifest, field=f"manifest `{manifest.kind}`")]
        for start in range(0, len(flat), 2 * _KINDS_A_CALL):
            part = flat[start : start + 2 * _KINDS_A_CALL]
            if await self._run("publish_kinds", (self._kinds,), (KINDS_MAX, *part)) == "full":
                raise full("kinds", KINDS_MAX)

    async def list_kinds(self) -> tuple[KindManifest, ...]:
        """All manifests by kind."""
        texts = _fields(await self._read(self._kinds, "HGETALL", self._kinds))
        decoded = (decode_entry(text, KindManifest) for _, text in sorted(texts.items()))
        return tuple(manifest for manifest in decoded if manifest is not None)

    async def get_kind(self, kind: str) -> KindManifest | None:
        """One manifest, or None."""
        text = await self._read(self._kinds, "HGET", self._kinds, kind)
        return None if text is None else decode_entry(text, KindManifest)

    async def remove_kind(self, kind: str) -> bool:
        """Drop a manifest; False when there was none."""
        return await self._context.connection.execute(self._kinds, "HDEL", self._kinds, kind) == 1

    async def put_projector(self, name: str, cursor: ChangeCursor) -> None:
        """Record a projector's position and that it was seen now. Safe to repeat.

        Raises:
            InvalidArgumentError: the name is not a legal id. LimitExceededError: too many projectors.
        """
        check_projector_name(name)
        if await self._run("put_projector", (self._projectors,), (name, cursor.token, PROJECTORS_MAX)) == "full":
            raise full("projectors", PROJECTORS_MAX)

    async def projectors(self) -> dict[str, tuple[ChangeCursor, int]]:
        """Projector → position and when it was last seen (ms)."""
        texts = _fields(await self._read(self._projectors, "HGETALL", self._projectors))
        found: dict[str, tuple[ChangeCursor, int]] = {}
        for name, text in sorted(texts.items()):
            seen_ms, _, token = text.partition(";")
            found[name] = (ChangeCursor(token=token), int(seen_ms))
        return found

    async def forget_projector(self, name: str) -> bool:
        """Stop honouring a projector; False when unknown. Raises: InvalidArgumentError: the name is not a legal id."""
        check_projector_name(name)
        return await self._context.connection.execute(self._projectors, "HDEL", self._projectors, name) == 1

    async def _run(self, script: str, keys: tuple[str, ...], args: tuple[str | int, ...]) -> Any:
        replies = await self._context.scripts.run([Call(script, keys, args)])
        return replies[0]

    async def _read(self, key: str, *args: str) -> Any:
        replies = await self._context.connection.read([Command(key, args)])
        return replies[0]

    async def _now_ms(self) -> int:
        commands = [Command(self._beats, ("TIME",))]
        if self._context.clock_offset:
            tag = self._beats[: self._beats.index("}") + 1]
            commands.append(Command(f"{tag}:off", ("GET", f"{tag}:off")))
        replies = await self._context.connection.read(commands)
        offset_us = int(replies[1] or 0) if len(replies) > 1 else 0
        return (int(replies[0][0]) * 1_000_000 + int(replies[0][1]) + offset_us) // 1_000


def _worker_of(text: str, seen_at_ms: int) -> WorkerEntry | None:
    drain, _, entry_text = text.split(";", 2)
    entry = decode_entry(entry_text, WorkerEntry)
    if entry is None:
        return None
    return entry.model_copy(update={"seen_at_ms": seen_at_ms, "drain_requested": drain == "1"})


def _fields(reply: Any) -> dict[str, str]:
    """A hash of a reply of either protocol version."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


def _pairs(scored: Any) -> list[tuple[str, Any]]:
    """Members with scores of a reply of either protocol version."""
    if scored and isinstance(scored[0], (list, tuple)):
        return [(pair[0], pair[1]) for pair in scored]
    return list(zip(scored[::2], scored[1::2], strict=True))
