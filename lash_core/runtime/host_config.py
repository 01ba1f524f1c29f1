"""What a host gives to every runtime it builds: effect host, stores, profile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from lash_core.clock import Clock, SystemClock
from lash_core.memory_store.attachment_manifest import MemoryAttachmentManifest
from lash_core.memory_store.content_stores import MemoryArtifactStore, MemoryAttachmentStore, MemoryProcessEnvStore
from lash_core.model.disposition import DurabilityTier
from lash_core.model.monitor import MonitorSpecs
from lash_core.model.session_lease import SessionLeaseTimings
from lash_core.protocols.providers.model_providers import ModelProviders
from lash_core.protocols.providers.retry import ModelRetryPolicy
from lash_core.runtime.background.task_host import BackgroundTaskHost
from lash_core.runtime.inline_effects import InlineEffectHost
from lash_core.store.artifact_store import ArtifactStore
from lash_core.store.attachment_manifest import AttachmentManifest
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.effect_host import EffectHost
from lash_core.store.fleet_directory import FleetDirectory
from lash_core.store.live_replay_store import FleetLiveReplayStore
from lash_core.store.process_env_store import ProcessExecutionEnvStore
from lash_core.store.trigger_store import TriggerStore


class HasDurabilityTier(Protocol):
    """A store that says what it promises."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...


@dataclass(slots=True)
class RuntimeControl:
    """Who executes effects."""

    effect_host: EffectHost


@dataclass(slots=True)
class RuntimeDurability:
    """The stores beside registry and sessions. ``process_env_store`` or ``trigger_store`` None = not configured.

    ``attachment_manifest`` says which session refers to which attachment (``lash_core.runtime.attachments``).
    """

    attachment_store: AttachmentStore
    artifact_store: ArtifactStore
    process_env_store: ProcessExecutionEnvStore | None
    trigger_store: HasDurabilityTier | None = None
    attachment_manifest: AttachmentManifest = field(default_factory=MemoryAttachmentManifest)


@dataclass(slots=True)
class RuntimeProfile:
    """Names the kind of host; a process made for another profile is refused. Blank fits everything blank."""

    host_profile_id: str = ""


class HostStores(Protocol):
    """The stores a host is made of; ``RedisStores`` and ``InMemoryStores`` both are."""

    @property
    def effect_host(self) -> EffectHost:
        """Who executes effects."""
        ...

    @property
    def attachments(self) -> AttachmentStore:
        """Attachments."""
        ...

    @property
    def attachment_manifest(self) -> AttachmentManifest:
        """Which session refers to which attachment."""
        ...

    @property
    def artifacts(self) -> ArtifactStore:
        """Artifacts."""
        ...

    @property
    def env_store(self) -> ProcessExecutionEnvStore:
        """Captured environments."""
        ...

    @property
    def triggers(self) -> TriggerStore:
        """Triggers."""
        ...


@dataclass(slots=True)
class RuntimeHostConfig:
    """One host's configuration. Set its parts before a worker or runtime is built from it.

    Attributes:
        directory: where processes find the kinds of children that no app of their own worker declares.
        providers: models, by the provider id that a session's policy names.
        model_retry: how often a model call is attempted, and how long an attempt may take.
        clock: for times that people read; nothing is decided by it.
        session_lease_timings: of the execution leases that runtimes take.
        poison_deaths_max: deaths in a row without a write that stop a session's turn for good; 0 = never.
        live_replay: where workers tell what their sessions' turns do; None = nowhere.
        background_task_host: who runs and keeps background tasks; None = there are none, and spawning one is an error.
        monitors: commands that may run beside a session, or a function that answers those of one session.
    """

    control: RuntimeControl
    durability: RuntimeDurability
    profile: RuntimeProfile
    directory: FleetDirectory | None = None
    providers: ModelProviders = field(default_factory=ModelProviders)
    model_retry: ModelRetryPolicy = field(default_factory=ModelRetryPolicy)
    clock: Clock = field(default_factory=SystemClock)
    session_lease_timings: SessionLeaseTimings = field(default_factory=SessionLeaseTimings)
    poison_deaths_max: int = 8
    background_task_host: BackgroundTaskHost | None = None
    monitors: MonitorSpecs = ()
    live_replay: FleetLiveReplayStore | None = None

    @classmethod
    def in_memory(cls, *, host_profile_id: str = "") -> RuntimeHostConfig:
        """Inline effects and stores of this program: nothing survives it."""
        return cls(
            control=RuntimeControl(InlineEffectHost()),
            durability=RuntimeDurability(MemoryAttachmentStore(), MemoryArtifactStore(), MemoryProcessEnvStore()),
            profile=RuntimeProfile(host_profile_id),
        )

    @classmethod
    def from_stores(cls, stores: HostStores, *, host_profile_id: str = "") -> RuntimeHostConfig:
        """The host of one server's stores."""
        return cls(
            control=RuntimeControl(stores.effect_host),
            durability=RuntimeDurability(
                stores.attachments,
                stores.artifacts,
                stores.env_store,
                trigger_store=stores.triggers,
                attachment_manifest=stores.attachment_manifest,
            ),
            profile=RuntimeProfile(host_profile_id),
            directory=getattr(stores, "directory", None),
            live_replay=getattr(stores, "live_replay", None),
        )
