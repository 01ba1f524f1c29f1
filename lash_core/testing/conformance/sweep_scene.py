"""Stores that can be swept, and what the cases of the sweep do with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lash_core.model.attachment import AttachmentOwner
from lash_core.model.environment import ProcessExecutionEnvSpec
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.content_sweep import (
    ContentSweep,
    SweepReport,
    content_sweep_of,
)
from lash_core.store.content_sweep import ContentRoots, SweptContent
from lash_core.store.process_env_store import persist_process_execution_env
from lash_core.store.process_maintenance import ProcessMaintenance
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.trigger_store import TriggerStore
from lash_core.testing.conformance.artifact_store import ArtifactStores
from lash_core.testing.conformance.attachment_manifest import ManifestStores
from lash_core.testing.conformance.process_env_store import EnvironmentStores
from lash_core.testing.conformance.process_registry.arrange import unique
from lash_core.testing.conformance.stores import elapse

GRACE_MS = 1_000


class MaintainedRegistry(ProcessRegistry, ProcessMaintenance, Protocol):
    """Rows, and the store's time."""


class SweepStores(ManifestStores, ArtifactStores, EnvironmentStores, Protocol):
    """Stores that can be swept."""

    @property
    def process_registry(self) -> MaintainedRegistry:
        """The rows."""
        ...

    @property
    def triggers(self) -> TriggerStore:
        """Subscriptions."""
        ...

    @property
    def swept_contents(self) -> Sequence[SweptContent]:
        """What is swept."""
        ...

    @property
    def content_roots(self) -> Sequence[ContentRoots]:
        """What names it."""
        ...


def sweep_of(stores: SweepStores) -> ContentSweep:
    """A sweep with a short grace."""
    return content_sweep_of(stores, grace_ms=GRACE_MS)


async def swept(stores: SweepStores) -> SweepReport:
    """Let everything grow old, and sweep."""
    await elapse(stores, GRACE_MS + 100)
    return await sweep_of(stores).run_pass()


async def environment(stores: SweepStores, **options: str) -> str:
    """Store an environment that no other case has; returns its ref."""
    spec = ProcessExecutionEnvSpec(plugin_options={"unique": unique("env"), **options})
    return await persist_process_execution_env(stores.env_store, spec)


async def is_there(stores: SweepStores, ref: str) -> bool:
    """Whether content is stored."""
    content = {content.family: content for content in stores.swept_contents}[ref.partition(":")[0]]
    cursor: str | None = None
    while True:
        page = await content.list_stored(cursor)
        if ref in {item.ref for item in page.items}:
            return True
        cursor = page.next_cursor
        if cursor is None:
            return False


def facade(stores: SweepStores, session_id: str, owner: AttachmentOwner | None = None) -> SessionAttachments:
    """A session's attachments."""
    return SessionAttachments(session_id, stores.attachments, stores.attachment_manifest, owner=owner)
