"""The lease of a run as the running code sees it: the newest renewal, and whether it may still write."""

from __future__ import annotations

from typing import Protocol

from lash_core.model.lease import ProcessLease


class RunLease(Protocol):
    """Handed to a run; the worker's lease keeper keeps it current."""

    @property
    def lease(self) -> ProcessLease:
        """The lease as last renewed."""
        ...

    @property
    def lost(self) -> bool:
        """True once the lease is lost or its local deadline has passed: write nothing any more."""
        ...

    def require(self) -> ProcessLease:
        """The lease, for a fenced write. Raises: LeaseLostError once it is lost."""
        ...
