"""Kind manifests: what an app declares of a process kind (DESIGN 6), and worker entries of the directory."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lash_core.model.base import JsonValue, Model
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import ProcessEventType
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.registration import RetryPolicy


class KindManifest(Model):
    """A process kind: how it recovers, where it queues, what it takes, answers and accepts as signals.

    Schemas are JSON schemas; None means unknown. ``signals`` maps a signal's name to its payload schema.
    """

    kind: str
    disposition: RecoveryDisposition
    app: str = ""
    app_version: str | None = None
    version_pin: str | None = None
    queue: str = "default"
    timeout_ms: int | None = None
    signals: dict[str, JsonValue] = Field(default_factory=dict)
    event_types: tuple[ProcessEventType, ...] = ()
    params_schema: JsonValue = None
    result_schema: JsonValue = None
    retry_policy: RetryPolicy | None = None

    @property
    def runs_version(self) -> str | None:
        """The version that a worker with this manifest runs: the app's, of an app without one the kind's own pin.

        A kind that is pinned in an app without a version would be declined by every worker otherwise.
        """
        return self.app_version or self.version_pin

    def all_event_types(self) -> tuple[ProcessEventType, ...]:
        """One event type per signal, then the extra ones: what a registration of this kind declares."""
        signals = tuple(ProcessEventType.signal(name, schema) for name, schema in sorted(self.signals.items()))
        return signals + self.event_types


class WorkerEntry(Model):
    """A live worker in the directory. Times are ms by the server's clock."""

    worker_id: str
    identity: LeaseOwnerIdentity
    state: Literal["running", "draining", "stopping"] = "running"
    queues: tuple[str, ...] = ("default",)
    kinds: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    concurrency: int = 64
    busy: int = 0
    parked: int = 0
    lease_ttl_ms: int = 30_000
    metrics_url: str | None = None
    host: str = ""
    pid: int = 0
    lash_version: str = ""
    started_at_ms: int = 0
    seen_at_ms: int = 0
    drain_requested: bool = False
    facts: dict[str, Any] = Field(default_factory=dict)
