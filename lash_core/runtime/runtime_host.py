"""The host of one runtime: configuration, the other stores that it reaches, who drives ready work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_core.store.trigger_store import TriggerStore


class ProcessWorkDriver(Protocol):
    """Runs processes that are ready. A hint: processes are found without it, only later."""

    async def poke_process(self, process_id: str) -> None:
        """A process was started or has something to do."""
        ...


class QueuedWorkDriver(Protocol):
    """Works off queues of sessions. A hint: queued work is found without it, only later."""

    async def poke_session(self, session_id: str, reason: str) -> None:
        """A session has work in its queue; ``reason`` says what put it there (``queued_turn_input``, …)."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddedRuntimeHost:
    """A host without processes. Each ``with_…`` answers a copy."""

    core: RuntimeHostConfig = field(default_factory=RuntimeHostConfig.in_memory)
    session_store_factory: SessionStoreFactory | None = None
    trigger_store: TriggerStore | None = None

    def with_session_store_factory(self, factory: SessionStoreFactory | None) -> EmbeddedRuntimeHost:
        """A copy that opens further sessions there."""
        return replace(self, session_store_factory=factory)

    def with_trigger_store(self, store: TriggerStore | None) -> EmbeddedRuntimeHost:
        """A copy with triggers."""
        return replace(self, trigger_store=store)

    def into_runtime_host(self) -> RuntimeHost:
        """The host of one runtime."""
        return RuntimeHost(self.core, self.session_store_factory, self.trigger_store)


@dataclass(frozen=True, slots=True)
class ProcessRuntimeHost:
    """A host with a process registry."""

    embedded: EmbeddedRuntimeHost
    process_registry: ProcessRegistry

    def into_runtime_host(self) -> RuntimeHost:
        """The host of one runtime."""
        host = self.embedded.into_runtime_host()
        host.process_registry = self.process_registry
        return host


@dataclass(slots=True)
class RuntimeHost:
    """What one runtime reaches, and belongs to it. The session's own attachments are in its ``RuntimeServices``.

    Attributes:
        core: effects, stores, clock, providers.
        session_store_factory: opens stores of further sessions; None = children cannot be kept.
        trigger_store: None where triggers are not configured.
        process_registry: None = this runtime starts no processes.
        process_work_driver: told of processes that are ready; None = nobody here.
        queued_work_driver: told of sessions with queued work; None = nobody here.
    """

    core: RuntimeHostConfig
    session_store_factory: SessionStoreFactory | None = None
    trigger_store: TriggerStore | None = None
    process_registry: ProcessRegistry | None = None
    process_work_driver: ProcessWorkDriver | None = None
    queued_work_driver: QueuedWorkDriver | None = None
