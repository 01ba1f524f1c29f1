"""What a client needs of the stores of one server; ``RedisStores`` and ``InMemoryStores`` both have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lash_core.model.manifest import KindManifest
from lash_core.store.attachment_manifest import AttachmentManifest
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.background_task_store import BackgroundTaskStore
from lash_core.store.fleet_directory import FleetDirectory
from lash_core.store.live_replay_store import FleetLiveReplayStore
from lash_core.store.login_tickets import LoginTickets
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.store.process_observation import ProcessObservation
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.promise_store import PromiseStore
from lash_core.store.runtime_persistence import SessionStoreFactory
from lash_core.store.session_notices import SessionNotices
from lash_core.store.trigger_store import TriggerStore


class FleetRegistry(ProcessRegistry, ProcessMaintenance, ProcessObservation, Protocol):
    """The registry with its housekeeping and its views."""


class ClientStores(Protocol):
    """The parts of a store object that a client uses."""

    @property
    def process_registry(self) -> FleetRegistry:
        """Rows, events, leases."""
        ...

    @property
    def directory(self) -> FleetDirectory:
        """Workers and kinds."""
        ...

    @property
    def promises(self) -> PromiseStore:
        """Await-event promises."""
        ...

    @property
    def triggers(self) -> TriggerStore:
        """Subscriptions and occurrences."""
        ...

    @property
    def session_store_factory(self) -> SessionStoreFactory:
        """Sessions."""
        ...

    @property
    def background_tasks(self) -> BackgroundTaskStore:
        """Rows of sessions' background tasks."""
        ...

    @property
    def session_notices(self) -> SessionNotices:
        """Hearing that a session changed."""
        ...

    @property
    def attachments(self) -> AttachmentStore:
        """Bytes that inputs refer to."""
        ...

    @property
    def attachment_manifest(self) -> AttachmentManifest:
        """Which session refers to which."""
        ...

    @property
    def live_replay(self) -> FleetLiveReplayStore:
        """Rings of sessions' newest events."""
        ...

    @property
    def login_tickets(self) -> LoginTickets:
        """Which tickets of the web app were redeemed."""
        ...

    async def close(self) -> None:
        """Give the connections back. May be called twice."""
        ...


class DeclaredKinds(Protocol):
    """The part of ``lash_worker.App`` that a client uses; the core never imports the worker."""

    def manifests(self) -> Mapping[str, KindManifest]:
        """Kind → manifest."""
        ...
