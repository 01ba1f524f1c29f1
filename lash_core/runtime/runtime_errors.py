"""Codes of runtime errors and the durable facets in the order they are checked (contract 3.2, decision 19)."""

from __future__ import annotations

from enum import StrEnum

from lash_core.errors import RuntimeFailure

MISSING_PROCESS_EXECUTION_ID = "missing_process_execution_id"


class DurableStoreFacet(StrEnum):
    """Stores that a durable effect host needs durable, in the order in which they are checked."""

    ATTACHMENT_STORE = "attachment_store"
    ARTIFACT_STORE = "artifact_store"
    PROCESS_ENV_STORE = "process_env_store"
    SESSION_STORE = "session_store"
    PROCESS_REGISTRY = "process_registry"
    TRIGGER_STORE = "trigger_store"

    @property
    def label(self) -> str:
        """The facet in words."""
        return _LABELS[self]


_LABELS = {
    DurableStoreFacet.ATTACHMENT_STORE: "attachment store",
    DurableStoreFacet.ARTIFACT_STORE: "artifact store",
    DurableStoreFacet.PROCESS_ENV_STORE: "process env store",
    DurableStoreFacet.SESSION_STORE: "session store factory",
    DurableStoreFacet.PROCESS_REGISTRY: "process registry",
    DurableStoreFacet.TRIGGER_STORE: "trigger store",
}


def durable_store_required(facet: DurableStoreFacet) -> RuntimeFailure:
    """A durable effect host with a store that forgets: refused before anything runs."""
    return RuntimeFailure(
        f"durable_store_required:{facet.value}", f"durable effect hosts require a durable {facet.label}"
    )


def missing_process_execution_id() -> RuntimeFailure:
    """A process without a stable id would journal and lock under nothing."""
    return RuntimeFailure(MISSING_PROCESS_EXECUTION_ID, "process execution requires a non-empty process id")
