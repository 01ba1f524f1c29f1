"""Whether a server may hold lash's data at the durability level asked for (DESIGN 3.4).

Looked at after every connect, so that a failover to a server with other settings is seen. CONFIG is refused by many
managed services; then INFO has to do, and what it cannot tell is named in the report.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import ResponseError

from lash_core.errors import LashError, StoreReadOnlyError, StoreRefusedError, StoreVersionError
from lash_core.redis_store.redis_errors import is_transient, refusal
from lash_core.redis_store.wire import NotSentError
from lash_core.settings import StoreSettings

Ask = Callable[[Sequence[tuple[str, ...]]], Awaitable[list[Any]]]
"""Sends commands and brings their replies, errors in place."""

FLOORS = {"redis": (7, 0), "valkey": (7, 2)}
_WAITAOF_SINCE = (7, 2)
_CONFIG = ("CONFIG", "GET", "appendonly", "appendfsync", "save")


@dataclass(frozen=True, slots=True)
class ServerReport:
    """What a server said of itself.

    Attributes:
        server: ``redis`` or ``valkey``.
        version: its own version, not the one that Valkey reports for old clients.
        run_id: another one means another server process.
        role: ``master`` or ``slave``.
        eviction: ``maxmemory-policy``.
        replicas: connected replicas.
        aof: append-only file on.
        appendfsync: ``always``, ``everysec``, ``no``; None when CONFIG was refused.
        snapshots: whether RDB snapshots are configured; None when CONFIG was refused.
        has_waitaof: WAITAOF exists.
        warnings: sentences for people: stderr, readiness, doctor.
    """

    server: str
    version: str
    run_id: str
    is_cluster: bool
    role: str
    eviction: str
    replicas: int
    aof: bool
    appendfsync: str | None
    snapshots: bool | None
    has_waitaof: bool
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people: ``Valkey 9.1.2``."""
        return f"{self.server.capitalize()} {self.version}"

    @property
    def keeps_nothing(self) -> bool:
        """True when it is known that a restart of the server loses everything."""
        return not self.aof and self.snapshots is False

    def with_warnings(self, warnings: tuple[str, ...]) -> ServerReport:
        """A copy with these warnings."""
        return replace(self, warnings=warnings)


async def inspect_server(ask: Ask, settings: StoreSettings, where: str, *, writable: bool = True) -> ServerReport:
    """Ask one server and judge it.

    Args:
        ask: the connection.
        settings: ``durability`` and ``replicas_min`` decide what is required.
        where: the server's URL without secrets.
        writable: refuse a replica.

    Raises:
        NotSentError: the server is not ready, or (``refusal`` set) may not be used.
    """
    info, config = await ask([("INFO",), _CONFIG])
    if isinstance(info, ResponseError):
        raise NotSentError(str(info), None if is_transient(info) else refusal(info, where))
    report = read_report(_fields(info), config, where)
    found = fault(report, settings, where, writable=writable)
    if found is not None:
        raise NotSentError(str(found), found)
    return report


def read_report(info: dict[str, str], config: Any, where: str) -> ServerReport:
    """The report of INFO's fields and of CONFIG's reply (an error when it was refused)."""
    server = info.get("server_name", "redis")
    version = info.get(f"{server}_version") or info.get("redis_version", "0.0.0")
    known: dict[str, str] | None = None
    if not isinstance(config, ResponseError):
        flat = list(config.items()) if isinstance(config, dict) else list(zip(config[::2], config[1::2], strict=False))
        known = {str(name): str(value) for name, value in flat}
    report = ServerReport(
        server=server,
        version=version,
        run_id=info.get("run_id", ""),
        is_cluster=info.get("cluster_enabled") == "1" or info.get("redis_mode") == "cluster",
        role=info.get("role", "master"),
        eviction=info.get("maxmemory_policy", "noeviction"),
        replicas=int(info.get("connected_slaves", "0")),
        aof=info.get("aof_enabled") == "1",
        appendfsync=known.get("appendfsync") if known else None,
        snapshots=bool(known.get("save")) if known else None,
        has_waitaof=_version(info.get("redis_version", version)) >= _WAITAOF_SINCE,
    )
    return _with_warnings(report, where)


def fault(report: ServerReport, settings: StoreSettings, where: str, *, writable: bool) -> LashError | None:
    """Why this server may not be used, or None."""
    floor = FLOORS.get(report.server)
    if floor is not None and _version(report.version) < floor:
        oldest = ".".join(str(part) for part in floor)
        return StoreVersionError(
            f"{where} is {report.name}; {report.server.capitalize()} {oldest} or newer is needed",
            field="redis_version",
            value=report.version,
            limit=oldest,
        )
    if writable and report.role != "master":
        return StoreReadOnlyError(
            f"{where} is a read-only replica; use its master, or redis+sentinel://… to follow it",
            field="role",
            value=report.role,
        )
    if report.eviction.startswith("allkeys"):
        return StoreRefusedError(
            f"{where} may evict any key (maxmemory-policy {report.eviction}) and would lose processes; "
            "set it to noeviction",
            field="maxmemory-policy",
            value=report.eviction,
            limit="noeviction",
        )
    return _durability_fault(report, settings, where)


def _durability_fault(report: ServerReport, settings: StoreSettings, where: str) -> LashError | None:
    level = settings.durability
    if level == "fast":
        return None
    nothing = not report.aof and not report.snapshots
    if level == "replicated" and report.replicas < settings.replicas_min:
        return StoreRefusedError(
            f"{where} has {report.replicas} connected replicas; LASH_DURABILITY=replicated wants "
            f"{settings.replicas_min}",
            field="LASH_REPLICAS_MIN",
            value=report.replicas,
            limit=settings.replicas_min,
        )
    if nothing or (level == "fsync" and not report.aof):
        return StoreRefusedError(
            f"{where} keeps no append-only file; LASH_DURABILITY={level} wants `appendonly yes`",
            field="appendonly",
            value="no",
            limit="yes",
        )
    if level == "fsync" and (report.appendfsync == "no" or (not report.has_waitaof and report.appendfsync != "always")):
        return StoreRefusedError(
            f"{where} cannot confirm that a write is on disk (appendfsync {report.appendfsync or 'unknown'}, "
            f"{'WAITAOF' if report.has_waitaof else 'no WAITAOF'}); LASH_DURABILITY=fsync wants `appendfsync always`, "
            "or everysec with Redis or Valkey 7.2",
            field="appendfsync",
            value=report.appendfsync,
            limit="always",
        )
    return None


def _with_warnings(report: ServerReport, where: str) -> ServerReport:
    warnings: list[str] = []
    if report.eviction.startswith("volatile"):
        warnings.append(
            f"{where}: maxmemory-policy is {report.eviction}; lash's keys never expire, so nothing of it is "
            "evicted, but noeviction says so"
        )
    if report.keeps_nothing:
        warnings.append(f"{where} has no persistence at all: a restart of the server loses every process")
    elif not report.aof and report.snapshots is None:
        warnings.append(f"{where} keeps no append-only file, and whether it makes snapshots is unknown")
    elif not report.aof:
        warnings.append(f"{where} keeps snapshots only: a crash of the server loses what came after the last one")
    if report.appendfsync is None:
        warnings.append(f"{where} refuses CONFIG GET; its settings are known from INFO only")
    return report.with_warnings(tuple(warnings))


def _fields(info: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in str(info).splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, separator, value in pairs if separator}


def _version(text: str) -> tuple[int, int]:
    parts = [int(part) if part.isdigit() else 0 for part in text.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)
