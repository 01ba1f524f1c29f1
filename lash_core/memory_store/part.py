"""What every group of registry operations stands on."""

from __future__ import annotations

from lash_core.memory_store.state import RegistryState


class RegistryPart:
    """A group of operations over the shared state."""

    _state: RegistryState
