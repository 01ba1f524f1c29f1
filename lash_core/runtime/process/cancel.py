"""The host's say over cancels that code asks for (contract 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lash_core.runtime.process.op_scope import ProcessOpScope
from lash_core.runtime.process.service import ProcessCancelSummary, ProcessService


@dataclass(frozen=True, slots=True)
class ProcessCancelRequest:
    """A cancel of a process that the asking run did not start itself."""

    session_id: str
    process_id: str
    scope: ProcessOpScope
    reason: str | None = None


@runtime_checkable
class ProcessCancelAbility(Protocol):
    """Decides whether code may cancel a process, and does it."""

    async def cancel(self, processes: ProcessService, request: ProcessCancelRequest) -> ProcessCancelSummary:
        """Cancel, or refuse by raising a ``LashError``: its text reaches the code after ``cancel failed:``."""
        ...


class DefaultProcessCancelAbility:
    """A visible handle is enough."""

    async def cancel(self, processes: ProcessService, request: ProcessCancelRequest) -> ProcessCancelSummary:
        """Cancel what the asking scope has a handle on. Raises: HandleNotVisibleError. UnknownProcessError."""
        return await processes.cancel(request.session_id, request.process_id, request.scope, reason=request.reason)
