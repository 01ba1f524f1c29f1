"""Builds a runtime step by step: the one way in for hosts and workers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lash_core.errors.session import SessionBindingMismatchError, SessionError
from lash_core.model.session import SessionPolicy
from lash_core.model.session_state import RuntimeSessionState
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.residency import Residency
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.runtime_host import ProcessWorkDriver, QueuedWorkDriver
from lash_core.runtime.state_loading import load_for_residency
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import RuntimePersistence, SessionStoreFactory


@dataclass(frozen=True, slots=True)
class EmbeddedRuntimeBuilder:
    """What a runtime is built from. Each ``with_…`` returns a copy; what a store holds wins over the builder."""

    session_id: str = ""
    plugin_host: PluginHost = field(default_factory=PluginHost)
    runtime_host: RuntimeHostConfig | None = None
    policy: SessionPolicy = field(default_factory=SessionPolicy)
    session_store_factory: SessionStoreFactory | None = None
    process_registry: ProcessRegistry | None = None
    residency: Residency = Residency.KEEP_ALL
    store: RuntimePersistence | None = None
    exclusive: bool = True
    process_work_driver: ProcessWorkDriver | None = None
    queued_work_driver: QueuedWorkDriver | None = None

    def with_session_id(self, session_id: str) -> EmbeddedRuntimeBuilder:
        """A copy for this session; blank makes a fresh id."""
        return replace(self, session_id=session_id)

    def with_plugin_host(self, plugin_host: PluginHost) -> EmbeddedRuntimeBuilder:
        """A copy with these plugins."""
        return replace(self, plugin_host=plugin_host)

    def with_runtime_host(self, runtime_host: RuntimeHostConfig) -> EmbeddedRuntimeBuilder:
        """A copy on this host; everything in memory by default."""
        return replace(self, runtime_host=runtime_host)

    def with_policy(self, policy: SessionPolicy) -> EmbeddedRuntimeBuilder:
        """A copy whose policy fills what the session does not say."""
        return replace(self, policy=policy)

    def with_session_store_factory(self, factory: SessionStoreFactory) -> EmbeddedRuntimeBuilder:
        """A copy that opens further sessions here."""
        return replace(self, session_store_factory=factory)

    def with_process_registry(self, registry: ProcessRegistry) -> EmbeddedRuntimeBuilder:
        """A copy that starts processes here."""
        return replace(self, process_registry=registry)

    def with_residency(self, residency: Residency) -> EmbeddedRuntimeBuilder:
        """A copy that keeps this much in memory."""
        return replace(self, residency=residency)

    def with_store(self, store: RuntimePersistence) -> EmbeddedRuntimeBuilder:
        """A copy whose session is kept in ``store``."""
        return replace(self, store=store)

    def with_work_drivers(
        self, process_work_driver: ProcessWorkDriver | None, queued_work_driver: QueuedWorkDriver | None
    ) -> EmbeddedRuntimeBuilder:
        """A copy that tells these of ready processes and of queued work."""
        return replace(self, process_work_driver=process_work_driver, queued_work_driver=queued_work_driver)

    def beside_others(self) -> EmbeddedRuntimeBuilder:
        """A copy whose runtime may live beside others of its session, as those of processes do (docs/adr/0060)."""
        return replace(self, exclusive=False)

    def environment(self) -> RuntimeEnvironment:
        """What the runtime shares with others."""
        return RuntimeEnvironment(
            runtime_host=self.runtime_host or RuntimeHostConfig.in_memory(),
            plugin_host=self.plugin_host,
            session_store_factory=self.session_store_factory,
            process_registry=self.process_registry,
            residency=self.residency,
            process_work_driver=self.process_work_driver,
            queued_work_driver=self.queued_work_driver,
        )

    async def build(self) -> LashRuntime:
        """Read as much of the session's state as stays in memory, and build its runtime.

        Raises:
            SessionError: see ``LashRuntime.from_environment``; a store bound to another session.
            CorruptRecordError: the stored state cannot be decoded.
        """
        store = self.store
        if store is not None and self.session_id.strip() and store.session_id != self.session_id:
            mismatch = SessionBindingMismatchError(store.session_id, self.session_id)
            raise SessionError(mismatch.message, field="session_id", value=self.session_id)
        state = None if store is None else await load_for_residency(store, self.residency)
        if state is None:
            session_id = self.session_id if store is None else store.session_id
            state = RuntimeSessionState(session_id=session_id, policy=self.policy)
        return await LashRuntime.from_environment(
            self.environment(), self.policy, state, store, exclusive=self.exclusive
        )
