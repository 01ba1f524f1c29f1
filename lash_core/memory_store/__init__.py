"""Stores in memory: the reference implementation of every contract. Names are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.memory_store.live_replay import InMemoryLiveReplayStore, InMemoryLiveReplayStoreConfig
    from lash_core.memory_store.registry import MemoryProcessRegistry
    from lash_core.memory_store.stores import InMemoryStores

__all__ = ["InMemoryLiveReplayStore", "InMemoryLiveReplayStoreConfig", "InMemoryStores", "MemoryProcessRegistry"]

_HOMES = {
    "InMemoryLiveReplayStore": "lash_core.memory_store.live_replay",
    "InMemoryLiveReplayStoreConfig": "lash_core.memory_store.live_replay",
    "InMemoryStores": "lash_core.memory_store.stores",
    "MemoryProcessRegistry": "lash_core.memory_store.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
