"""Runs one declared process without a worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.lease import Acquired, ProcessLease
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration
from lash_core.model.session import SessionPolicy
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.direct_effects import direct_effects
from lash_core.runtime.held_run_waits import HeldRunWaits
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.process.execution_context import ProcessExecutionContext
from lash_core.runtime.process.runner import ProcessRunner
from lash_core.runtime.residency import Residency
from lash_core.store.effect_host import ScopedEffects
from lash_worker.app import App


class Held:
    """A lease that stays as it was claimed."""

    def __init__(self, lease: ProcessLease) -> None:
        self.lease = lease
        self.lost = False

    def require(self) -> ProcessLease:
        return self.lease


class Place:
    """A slot that a run keeps."""

    is_resting = False

    def rest(self) -> None:
        """Keep it."""

    def resume_now(self, *, force: bool = False) -> bool:
        """It is there."""
        return True

    async def resume(self) -> None:
        """It is there."""


@dataclass
class Bench:
    """An app on stores in memory."""

    app: App
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    record_tracebacks: bool = False
    threads_max: int = 4

    def __post_init__(self) -> None:
        factory = self.app.plugin_factory(threads_max=self.threads_max, record_tracebacks=self.record_tracebacks)
        self.plugin_host = PluginHost([factory])
        self.runtime_host = RuntimeHostConfig.from_stores(self.stores)
        self.session_policy = SessionPolicy()
        self.session_store_factory = self.stores.session_store_factory
        self.process_registry = self.stores.process_registry
        self.residency = Residency.KEEP_ALL
        self.effects: ScopedEffects | None = None
        """Of the newest run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.plugin_host.close()

    def registration(self, kind: str, params: Any = None, **facts: Any) -> ProcessRegistration:
        """A process of a declared kind, as the client would make it."""
        manifest = self.app.manifests()[kind]
        values: dict[str, Any] = {
            "id": "p",
            "input": ProcessInput.engine(kind, params),
            "disposition": manifest.disposition,
            "env_ref": EMPTY_ENV_REF,
            "event_types": manifest.all_event_types(),
        }
        return ProcessRegistration(**(values | facts))

    async def run(
        self,
        kind: str,
        params: Any = None,
        *,
        token: CancellationToken | None = None,
        context: ProcessExecutionContext | None = None,
        **facts: Any,
    ) -> AnyAwaitOutput:
        """Run it once, without a row unless ``context`` has one."""
        registration = self.registration(kind, params, **facts)
        known = context or ProcessExecutionContext.default()
        self.effects = effects = direct_effects(self.stores.effect_host, registration.id, known)
        return await ProcessRunner(self).run_process(registration, known, effects, token or CancellationToken())

    async def claim(self, kind: str, params: Any = None, **facts: Any) -> ProcessExecutionContext:
        """Register it and take its lease."""
        record = await self.process_registry.register_process(self.registration(kind, params, **facts))
        owner = LeaseOwnerIdentity.opaque("worker", "1")
        outcome = await self.process_registry.claim_process_lease(record.id, owner, 60_000)
        assert isinstance(outcome, Acquired)
        return ProcessExecutionContext(run_lease=Held(outcome.lease), record=record)

    async def attempt(self, context: ProcessExecutionContext) -> ProcessExecutionContext:
        """The next attempt at a claimed process: its row as it is now, and waits of its own."""
        assert context.record is not None
        assert context.run_lease is not None
        record = await self.process_registry.get_process(context.record.id)
        assert record is not None
        waits = HeldRunWaits(record, context.run_lease, self.process_registry, Place())
        return context.with_record(record.model_copy(update={"attempt": 1})).with_waits(waits)
