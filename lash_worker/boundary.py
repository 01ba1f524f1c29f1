"""The checks at the worker's boundary, before any side effect (contract 3.2; decisions 14, 19, 27, 28)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from lash_core.errors import RuntimeFailure, WorkerBoundaryError
from lash_core.model.disposition import DurabilityTier, RecoveryDisposition
from lash_core.model.process_input import EngineInput, ToolCallInput
from lash_core.model.registration import ProcessRegistration
from lash_core.runtime.host_config import HasDurabilityTier, RuntimeHostConfig
from lash_core.runtime.runtime_errors import DurableStoreFacet, durable_store_required, missing_process_execution_id
from lash_core.store.process_registry import ProcessRegistry
from lash_core.store.runtime_persistence import SessionStoreFactory

NO_STATIC_SCOPE = "process worker effect host must provide a static process scope"


class BoundaryParts(Protocol):
    """The parts that are checked."""

    @property
    def runtime_host(self) -> RuntimeHostConfig:
        """Effect host, stores and profile."""
        ...

    @property
    def session_store_factory(self) -> SessionStoreFactory:
        """Opens sessions."""
        ...

    @property
    def process_registry(self) -> ProcessRegistry:
        """The rows."""
        ...


def refused(failure: RuntimeFailure, registration: ProcessRegistration) -> WorkerBoundaryError:
    """A runtime failure as the worker's error: its text is the failure's ``code: message``."""
    return WorkerBoundaryError(str(failure), process_id=registration.id)


def check_process_id(registration: ProcessRegistration) -> None:
    """Refuse a blank id, also one of white space, before anything is scoped by it.

    Raises:
        WorkerBoundaryError: with the text of ``missing_process_execution_id``.
    """
    if not registration.id.strip():
        raise refused(missing_process_execution_id(), registration)


def check_before_run(registration: ProcessRegistration, parts: BoundaryParts, *, facets: bool = True) -> None:
    """The checks that precede every run, in their order: host profile, then the durable facets.

    Args:
        registration: what is to run.
        parts: what it would run on.
        facets: False when the facets of these parts were found in order before.

    Raises:
        WorkerBoundaryError: the first one that fails.
    """
    theirs = registration.provenance.host_profile_id
    ours = parts.runtime_host.profile.host_profile_id
    if theirs and theirs != ours:
        raise WorkerBoundaryError(
            f"process `{registration.id}` was created for host profile `{theirs}` but this worker is `{ours}`",
            process_id=registration.id,
        )
    if facets and parts.runtime_host.control.effect_host.durability_tier() == DurabilityTier.DURABLE:
        for facet, tier in _facets(parts):
            if tier != DurabilityTier.DURABLE:
                raise refused(durable_store_required(facet), registration)


def check_runnable(registration: ProcessRegistration) -> None:
    """The checks for everything but external input: who owns it, and whose runtime would run it.

    Raises:
        WorkerBoundaryError: externally owned; or no captured environment and no session to rebuild (decision 14).
    """
    if registration.disposition is RecoveryDisposition.EXTERNALLY_OWNED:
        raise WorkerBoundaryError(
            f"process `{registration.id}` is externally-owned and must not be executed by lash",
            process_id=registration.id,
        )
    needs_session = isinstance(registration.input, EngineInput | ToolCallInput) and registration.env_ref is None
    if needs_session and registration.provenance.owner_scope.is_empty:
        raise WorkerBoundaryError(
            f"process `{registration.id}` is missing a structured owner scope", process_id=registration.id
        )


def _facets(parts: BoundaryParts) -> Iterator[tuple[DurableStoreFacet, DurabilityTier]]:
    # Decision 19: what is not configured is skipped, except the four that every worker needs.
    durability = parts.runtime_host.durability
    yield DurableStoreFacet.ATTACHMENT_STORE, _tier(durability.attachment_store)
    yield DurableStoreFacet.ARTIFACT_STORE, _tier(durability.artifact_store)
    if durability.process_env_store is not None:
        yield DurableStoreFacet.PROCESS_ENV_STORE, _tier(durability.process_env_store)
    yield DurableStoreFacet.SESSION_STORE, _tier(parts.session_store_factory)
    yield DurableStoreFacet.PROCESS_REGISTRY, _tier(parts.process_registry)
    if durability.trigger_store is not None:
        yield DurableStoreFacet.TRIGGER_STORE, _tier(durability.trigger_store)


def _tier(store: HasDurabilityTier | None) -> DurabilityTier:
    return DurabilityTier.INLINE if store is None else store.durability_tier()
