"""The contracts over Redis and Valkey. The stores are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.redis_store.registry import RedisProcessRegistry
    from lash_core.redis_store.stores import RedisStores

__all__ = ["RedisProcessRegistry", "RedisStores"]

_HOMES = {"RedisProcessRegistry": "lash_core.redis_store.registry", "RedisStores": "lash_core.redis_store.stores"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
