"""Artifacts: what engines compile and look up again, by content address."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lash_core.model.disposition import DurabilityTier

ARTIFACT_FAMILY = "artifact"
ARTIFACT_BYTES_MAX = 4 * 1024 * 1024
"""One artifact; a larger one would block the server for the time of its transfer."""


@runtime_checkable
class ArtifactStore(Protocol):
    """Immutable blobs. The address is made by the store."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def put_artifact(self, data: bytes) -> str:
        """Store ``data`` and return ``artifact:sha256:<hex>``; again refreshes the age. Atomic, safe to repeat.

        Raises:
            InvalidArgumentError: over ``ARTIFACT_BYTES_MAX`` bytes.
        """
        ...

    async def get_artifact(self, artifact_ref: str) -> bytes | None:
        """The bytes, or None when there are none; a store failure raises.

        Raises:
            InvalidArgumentError: not an address. CorruptRecordError: the bytes do not hash to it.
        """
        ...
