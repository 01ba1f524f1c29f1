"""The services of one runtime: its plugins, its store, and what its session was given to work with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lash_core.clock import Clock, SystemClock
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.plugin.host import PluginSession
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.process_env_store import ProcessExecutionEnvStore
from lash_core.store.runtime_persistence import RuntimePersistence


@dataclass(frozen=True, slots=True)
class RuntimeServices:
    """Services of a runtime; each ``with_…`` answers a copy.

    Attributes:
        plugin_session: the session's plugins.
        store: the session's store; None = nothing is kept.
        attachment_store: the session's attachments where it has a store, else those of the host.
        process_env_store: None = no environments can be captured.
        clock: for times that people read.
        requires_model: False for the run of a process, which may never call a model (decision 15 of processes).
    """

    plugin_session: PluginSession
    store: RuntimePersistence | None = None
    attachment_store: AttachmentStore | SessionAttachments | None = None
    process_env_store: ProcessExecutionEnvStore | None = None
    clock: Clock = field(default_factory=SystemClock)
    requires_model: bool = True

    def with_attachment_store(self, store: AttachmentStore | SessionAttachments) -> RuntimeServices:
        """A copy with this attachment store."""
        return replace(self, attachment_store=store)

    def with_process_env_store(self, store: ProcessExecutionEnvStore | None) -> RuntimeServices:
        """A copy with this environment store."""
        return replace(self, process_env_store=store)

    def into_persistent(self) -> PersistentRuntimeServices | None:
        """Plugins and store alone; None without a store."""
        if self.store is None:
            return None
        return PersistentRuntimeServices(self.plugin_session, self.store, requires_model=self.requires_model)

    def with_clock(self, clock: Clock) -> RuntimeServices:
        """A copy with this clock."""
        return replace(self, clock=clock)


@dataclass(frozen=True, slots=True)
class PersistentRuntimeServices:
    """Plugins and a store: what a runtime whose session is kept starts with."""

    plugin_session: PluginSession
    store: RuntimePersistence
    requires_model: bool = True

    def into_runtime_services(self) -> RuntimeServices:
        """The services of the runtime."""
        return RuntimeServices(self.plugin_session, self.store, requires_model=self.requires_model)
