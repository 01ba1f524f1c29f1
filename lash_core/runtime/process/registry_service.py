"""``ProcessService`` over a registry. Handles are checked inside the effect: a replay does not ask again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any

from lash_core.errors import HandleNotVisibleError
from lash_core.model.await_output import AnyAwaitOutput, decode_await_output
from lash_core.model.base import JsonValue
from lash_core.model.effect import RuntimeEffectEnvelope
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.process_command import (
    AnyProcessCommand,
    AwaitProcess,
    CancelProcess,
    DeleteSessionProcesses,
    GrantProcess,
    ListProcesses,
    ProcessListMode,
    ProcessStartOptions,
    RevokeProcess,
    SignalProcess,
    TransferProcesses,
)
from lash_core.model.registration import ProcessRegistration
from lash_core.model.reports import SessionDeleteReport
from lash_core.model.scope import SessionScope
from lash_core.model.session_observation import SessionProcessEventKind
from lash_core.runtime.local_executors import RuntimeEffectLocalExecutor
from lash_core.runtime.process.op_scope import ProcessOpScope, execute_process_command
from lash_core.runtime.process.service import ProcessCancelSummary
from lash_core.runtime.process.start import ProcessStarts
from lash_core.runtime.run_waits import RunWaits
from lash_core.runtime.signal_sending import send_signal
from lash_core.store.process_registry import ProcessRegistry

ProcessChange = Callable[[SessionProcessEventKind, str], Awaitable[None]]


class RegistryProcessService:
    """``ProcessService`` over a registry.

    Args:
        registry: the rows.
        starts: the rules of a start.
        waits: of the run that owns this service: it rests while it waits for a process.
        on_change: told of each process that was started or cancelled here, a redo's again; it does not raise.
    """

    def __init__(
        self,
        registry: ProcessRegistry,
        starts: ProcessStarts,
        *,
        waits: RunWaits | None = None,
        on_change: ProcessChange | None = None,
    ) -> None:
        self._registry = registry
        self._starts = starts
        self._waits = waits
        self._on_change = on_change

    async def start(
        self, session_id: str, registration: ProcessRegistration, options: ProcessStartOptions, scope: ProcessOpScope
    ) -> str:
        """See ``ProcessService.start``."""
        command = await self._starts.command(session_id, registration, options, scope)
        await self._execute(session_id, command, scope)
        if self._on_change is not None:
            await self._on_change(SessionProcessEventKind.STARTED, command.registration.id)
        return command.registration.id

    async def list_visible(
        self, session_id: str, mode: ProcessListMode, scope: ProcessOpScope
    ) -> tuple[dict[str, Any], ...]:
        """See ``ProcessService.list_visible``."""
        value = await self._execute(session_id, ListProcesses(scope.session_scope(session_id), mode), scope)
        return tuple(value["handles"])

    async def validate_visible(self, session_id: str, process_ids: Sequence[str], scope: ProcessOpScope) -> None:
        """See ``ProcessService.validate_visible``."""
        for process_id in process_ids:
            await self._check_visible(scope.session_scope(session_id), process_id)

    async def grant(
        self, session_id: str, process_id: str, descriptor: ProcessHandleDescriptor, scope: ProcessOpScope
    ) -> None:
        """See ``ProcessService.grant``."""
        await self._execute(session_id, GrantProcess(scope.session_scope(session_id), process_id, descriptor), scope)

    async def revoke(self, session_id: str, process_id: str, scope: ProcessOpScope) -> None:
        """See ``ProcessService.revoke``."""
        await self._execute(session_id, RevokeProcess(scope.session_scope(session_id), process_id), scope)

    async def transfer(
        self, session_id: str, target: SessionScope, process_ids: Sequence[str], scope: ProcessOpScope
    ) -> None:
        """See ``ProcessService.transfer``."""
        if process_ids:
            command = TransferProcesses(scope.session_scope(session_id), target, tuple(process_ids))
            await self._execute(session_id, command, scope)

    async def await_process(
        self, session_id: str, process_id: str, scope: ProcessOpScope, *, visible_only: bool = True
    ) -> AnyAwaitOutput:
        """See ``ProcessService.await_process``."""
        needed = scope.session_scope(session_id) if visible_only else None
        value = await self._execute(session_id, AwaitProcess(process_id), scope, visible_to=needed)
        output = decode_await_output(value["output"])
        if output is None:
            raise RuntimeError(f"the recorded outcome of process `{process_id}` is none")
        return output

    async def cancel(
        self,
        session_id: str,
        process_id: str,
        scope: ProcessOpScope,
        *,
        reason: str | None = None,
        visible_only: bool = True,
    ) -> ProcessCancelSummary:
        """See ``ProcessService.cancel``."""
        needed = scope.session_scope(session_id) if visible_only else None
        value = await self._execute(session_id, CancelProcess(process_id, reason), scope, visible_to=needed)
        if self._on_change is not None:
            await self._on_change(SessionProcessEventKind.CANCELLED, process_id)
        return ProcessCancelSummary.model_validate(value)

    async def signal(
        self, session_id: str, signal: SignalProcess, scope: ProcessOpScope, *, live_only: bool = True
    ) -> ProcessEvent:
        """See ``ProcessService.signal``."""
        needed = scope.session_scope(session_id) if live_only else None

        executor = RuntimeEffectLocalExecutor.processes(self._registry, signal)

        async def append(envelope: RuntimeEffectEnvelope) -> JsonValue:
            if needed is not None:
                await self._check_live(needed, signal.process_id)
            return (await executor(envelope)).into_process()

        return await send_signal(self._registry, session_id, signal, scope, executor=RuntimeEffectLocalExecutor(append))

    async def delete_session(self, session_id: str, scope: ProcessOpScope) -> SessionDeleteReport:
        """See ``ProcessService.delete_session``."""
        value = await self._execute(session_id, DeleteSessionProcesses(session_id), scope)
        return SessionDeleteReport.model_validate(value)

    async def _execute(
        self,
        session_id: str,
        command: AnyProcessCommand,
        scope: ProcessOpScope,
        *,
        visible_to: SessionScope | None = None,
    ) -> dict[str, Any]:
        executor = RuntimeEffectLocalExecutor.processes(
            self._registry, command, waits=self._waits, cancellation=scope.cancellation
        )
        if visible_to is not None and isinstance(command, AwaitProcess | CancelProcess):
            executor = self._checked(visible_to, command.process_id, executor)
        return await execute_process_command(session_id, command, scope, executor)

    def _checked(
        self, visible_to: SessionScope, process_id: str, executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectLocalExecutor:
        async def execute(envelope: RuntimeEffectEnvelope) -> JsonValue:
            with nullcontext() if self._waits is None else self._waits.working():
                await self._check_visible(visible_to, process_id)
            return (await executor(envelope)).into_process()

        return RuntimeEffectLocalExecutor(execute)

    async def _check_visible(self, scope: SessionScope, process_id: str) -> None:
        if not await self._registry.has_handle(scope, process_id):
            raise HandleNotVisibleError(process_id)

    async def _check_live(self, scope: SessionScope, process_id: str) -> None:
        await self._check_visible(scope, process_id)
        record = await self._registry.get_process(process_id)
        if record is None or record.is_terminal:
            raise HandleNotVisibleError(process_id)
