"""Stores in memory: the reference implementation of every contract."""

from lash_core.memory_store.registry import MemoryProcessRegistry
from lash_core.memory_store.stores import InMemoryStores

__all__ = ["InMemoryStores", "MemoryProcessRegistry"]
