"""An app as a client sees it: its manifests."""

from __future__ import annotations

from collections.abc import Mapping

from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.lease import Acquired, ProcessLease
from lash_core.model.manifest import KindManifest
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.store.client_stores import ClientStores

REPORT = KindManifest(
    kind="report.build",
    disposition=RecoveryDisposition.RERUNNABLE,
    app="reports",
    app_version="7",
    queue="slow",
    timeout_ms=60_000,
    signals={"approve": {"type": "object", "required": ["by"]}, "stop": True},
    params_schema={
        "type": "object",
        "properties": {"month": {"type": "string"}},
        "required": ["month"],
    },
)

OWNER = LeaseOwnerIdentity.opaque("worker-1", "incarnation-1")


class StubApp:
    """Declares the manifests it was given."""

    def __init__(self, *manifests: KindManifest) -> None:
        self._manifests = {manifest.kind: manifest for manifest in manifests}

    def manifests(self) -> Mapping[str, KindManifest]:
        """Kind → manifest."""
        return self._manifests


async def claim(stores: ClientStores, process_id: str, ttl_ms: int = 30_000) -> ProcessLease:
    """Take a process as a worker would."""
    outcome = await stores.process_registry.claim_process_lease(process_id, OWNER, ttl_ms)
    assert isinstance(outcome, Acquired)
    return outcome.lease


async def finish(stores: ClientStores, process_id: str, output: AnyAwaitOutput) -> None:
    """Run a process to its end as a worker would."""
    lease = await claim(stores, process_id)
    await stores.process_registry.complete_process_with_lease(lease, output)
