"""Stores in memory: the reference implementation of every contract."""

from lash_core.memory_store.live_replay import InMemoryLiveReplayStore, InMemoryLiveReplayStoreConfig
from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.memory_store.stores import InMemoryStores

__all__ = ["InMemoryLiveReplayStore", "InMemoryLiveReplayStoreConfig", "InMemoryStores", "MemoryProcessRegistry"]
