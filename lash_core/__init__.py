"""lash: durable processes on Redis. Names are loaded when they are first used, so that ``lash --help`` stays quick."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.client import LashClient
    from lash_core.client_handle import ProcessHandle
    from lash_core.client_session import SessionHandle
    from lash_core.client_session_sync import SyncSessionHandle
    from lash_core.client_sync import SyncLashClient, SyncProcessHandle
    from lash_core.errors import (
        CorruptRecordError,
        Failure,
        InvalidArgumentError,
        LashError,
        NotDoneError,
        OutcomeUnknownError,
        ProcessAbandoned,
        ProcessCancelled,
        ProcessFailed,
        RegistrationConflictError,
        SettingsError,
        StepFailed,
        StepTimedOut,
        StoreUnreachableError,
        UnknownKindError,
        UnknownProcessError,
        UnknownSessionError,
    )
    from lash_core.memory_store.stores import InMemoryStores
    from lash_core.model.step_retry import StepRetry
    from lash_core.redis_store.stores import RedisStores

__version__: str

__all__ = [
    "CorruptRecordError",
    "Failure",
    "InMemoryStores",
    "InvalidArgumentError",
    "LashClient",
    "LashError",
    "NotDoneError",
    "OutcomeUnknownError",
    "ProcessAbandoned",
    "ProcessCancelled",
    "ProcessFailed",
    "ProcessHandle",
    "RedisStores",
    "RegistrationConflictError",
    "SessionHandle",
    "SettingsError",
    "StepFailed",
    "StepRetry",
    "StepTimedOut",
    "StoreUnreachableError",
    "SyncLashClient",
    "SyncProcessHandle",
    "SyncSessionHandle",
    "UnknownKindError",
    "UnknownProcessError",
    "UnknownSessionError",
]

_HOMES = {
    "InMemoryStores": "lash_core.memory_store.stores",
    "RedisStores": "lash_core.redis_store.stores",
    "LashClient": "lash_core.client",
    "ProcessHandle": "lash_core.client_handle",
    "SessionHandle": "lash_core.client_session",
    "SyncSessionHandle": "lash_core.client_session_sync",
    "SyncLashClient": "lash_core.client_sync",
    "SyncProcessHandle": "lash_core.client_sync",
    "StepRetry": "lash_core.model.step_retry",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        metadata = import_module("importlib.metadata")
        try:
            return metadata.version("lash")
        except metadata.PackageNotFoundError:
            return "0"  # run from a source tree that is not installed
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "lash_core.errors")), name)
