"""Processes as sessions and runs handle them: start, list, transfer, await, cancel, signal (contract 4.2, 4.3, 4.6).

Every operation crosses the effect boundary of its ``ProcessOpScope``: recorded answers are answered again. Checks of
handles are part of the effect, so that a replay does not ask who may what today.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from lash_core.model.await_output import AnyAwaitOutput
from lash_core.model.base import Model
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import ProcessListMode, ProcessStartOptions, SignalProcess
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import SessionDeleteReport
from lash_core.model.scope import SessionScope
from lash_core.runtime.process.op_scope import ProcessOpScope


class ProcessCancelSummary(Model):
    """What a cancel left: the row's status after the request."""

    process_id: str
    status: str


@runtime_checkable
class ProcessService(Protocol):
    """Operations on processes, on behalf of a session and one of its scopes.

    ``session_id`` is who asks; the frame is the scope's. All are safe to repeat under one parent invocation.
    """

    async def start(
        self, session_id: str, registration: ProcessRegistration, options: ProcessStartOptions, scope: ProcessOpScope
    ) -> str:
        """Start a process and return its id. The rules of origin, wake target and handle are in ``ProcessStarts``.

        Raises:
            UnknownSessionError: ``unknown session``. MissingEnvironmentError: ``missing process execution env``.
            InvalidRegistrationError, RegistrationConflictError; what the engine refuses. Nothing was started.
        """
        ...

    async def list_visible(
        self, session_id: str, mode: ProcessListMode, scope: ProcessOpScope
    ) -> tuple[dict[str, Any], ...]:
        """Summaries of the handles of the asking scope, by process id."""
        ...

    async def validate_visible(self, session_id: str, process_ids: Sequence[str], scope: ProcessOpScope) -> None:
        """Raises: HandleNotVisibleError for the first id that the asking scope has no handle on."""
        ...

    async def grant(
        self, session_id: str, process_id: str, descriptor: ProcessHandleDescriptor, scope: ProcessOpScope
    ) -> None:
        """Give the asking scope a handle; again replaces the descriptor. Raises: UnknownProcessError."""
        ...

    async def revoke(self, session_id: str, process_id: str, scope: ProcessOpScope) -> None:
        """Take the asking scope's handle away; a missing one is success."""
        ...

    async def transfer(
        self, session_id: str, target: SessionScope, process_ids: Sequence[str], scope: ProcessOpScope
    ) -> None:
        """Move handles of the asking scope to ``target``, all or nothing. Raises: HandleNotGrantedError."""
        ...

    async def await_process(
        self, session_id: str, process_id: str, scope: ProcessOpScope, *, visible_only: bool = True
    ) -> AnyAwaitOutput:
        """Wait for the outcome; ``visible_only`` False for those who started the process themselves.

        The caller bounds the wait. Raises: HandleNotVisibleError. UnknownProcessError. ProcessWaitCancelledError: the
        scope's token was fired first.
        """
        ...

    async def cancel(
        self,
        session_id: str,
        process_id: str,
        scope: ProcessOpScope,
        *,
        reason: str | None = None,
        visible_only: bool = True,
    ) -> ProcessCancelSummary:
        """Record a cancel request and say what the row's status is then.

        Raises: HandleNotVisibleError. UnknownProcessError.
        """
        ...

    async def signal(
        self, session_id: str, signal: SignalProcess, scope: ProcessOpScope, *, live_only: bool = True
    ) -> ProcessEvent:
        """Send a signal. It always takes a live handle of the asking scope, unless the host itself sends it.

        Raises: HandleNotVisibleError. UnknownProcessError, UndeclaredEventTypeError, InvalidPayloadError.
        """
        ...

    async def delete_session(self, session_id: str, scope: ProcessOpScope) -> SessionDeleteReport:
        """Remove the session's side of its processes; cancels and deletes none."""
        ...
