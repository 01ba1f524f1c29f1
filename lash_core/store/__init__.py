"""The contracts of the stores, one protocol a file; their docstrings are the specification. Loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.store.client_stores import ClientStores, DeclaredKinds, FleetRegistry
    from lash_core.store.fleet_directory import FleetDirectory
    from lash_core.store.process_batches import BatchOutcome, LeasedCompletion, LeasedRelease, RegisterOutcome
    from lash_core.store.process_maintenance import FleetFacts, ProcessMaintenance
    from lash_core.store.process_notices import NoticeKind, ProcessNotice, ProcessNotices
    from lash_core.store.process_registry import ProcessRegistry

__all__ = [
    "BatchOutcome",
    "ClientStores",
    "DeclaredKinds",
    "FleetDirectory",
    "FleetFacts",
    "FleetRegistry",
    "LeasedCompletion",
    "LeasedRelease",
    "NoticeKind",
    "ProcessMaintenance",
    "ProcessNotice",
    "ProcessNotices",
    "ProcessRegistry",
    "RegisterOutcome",
]

_MODULES = (
    "client_stores",
    "fleet_directory",
    "process_batches",
    "process_maintenance",
    "process_notices",
    "process_registry",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            home = import_module(f"{__name__}.{module}")
            if hasattr(home, name):
                value = globals()[name] = getattr(home, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
