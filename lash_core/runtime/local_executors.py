"""Executors of effects in this program: sleep, await an event, process commands (docs/contracts/execution_context.md).

A controller calls an executor when nothing is recorded, with what is left to do: a journal that knows the due time of a
sleep asks for the remainder. Executors given the waits of a run wait through them, so that the run's slot is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lash_core.errors import RuntimeFailure
from lash_core.model.await_event import AWAIT_EVENT_UNSUPPORTED, AwaitEventKey
from lash_core.model.effect import RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.effect_record import ChildStart
from lash_core.model.process_command import AnyProcessCommand, AwaitProcess, ProcessCommand, StartProcess
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.journal.errors import NotRecordedError
from lash_core.runtime.process.commands import run_process_command
from lash_core.runtime.promise_wait import PromiseWait
from lash_core.runtime.run_waits import RunWaits
from lash_core.runtime.token_race import unless_cancelled
from lash_core.store.effect_host import AwaitEventResolver
from lash_core.store.process_registry import ProcessRegistry

SLEEP_CANCELLED = "runtime_effect_sleep_cancelled"


class ProcessWaitCancelledError(NotRecordedError):
    """The caller of a wait for a process is to end; how the process ends stays open. The text is the reason."""


Execute = Callable[[RuntimeEffectEnvelope], Awaitable[Any]]


class RuntimeEffectLocalExecutor:
    """Does one effect here and answers its outcome. Made by the factories, or of any function that gives a value.

    The function may also answer the ``RuntimeEffectOutcome`` itself.

    It is a ``lash_core.store.RuntimeEffectLocalExecutor``; so is every async function that answers an outcome.
    """

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def __call__(self, envelope: RuntimeEffectEnvelope, /) -> RuntimeEffectOutcome:
        """Do it. Raises: whatever the effect raises."""
        value = await self._execute(envelope)
        return value if isinstance(value, RuntimeEffectOutcome) else RuntimeEffectOutcome(envelope.kind, value)

    def waiting_at(self, await_events: AwaitEventResolver) -> RuntimeEffectLocalExecutor:
        """This executor; a wait that was given no promises gets those of the controller that executes it."""
        del await_events
        return self

    @staticmethod
    def sleep(
        cancellation: CancellationToken | None = None, *, waits: RunWaits | None = None
    ) -> RuntimeEffectLocalExecutor:
        """A timer of the envelope's ``duration_ms``.

        It raises ``RuntimeFailure`` ``runtime_effect_sleep_cancelled`` when the token is fired first.
        """
        token = cancellation or CancellationToken()

        async def execute(envelope: RuntimeEffectEnvelope) -> None:
            duration_ms = max(0, int(envelope.command.args["duration_ms"]))
            timer: Coroutine[Any, Any, None] = (
                asyncio.sleep(duration_ms / 1_000) if waits is None else waits.sleep(duration_ms)
            )
            if not await unless_cancelled(token, timer):
                raise RuntimeFailure(SLEEP_CANCELLED, token.reason or "the sleep was cancelled")

        return RuntimeEffectLocalExecutor(execute)

    @staticmethod
    def await_event(
        cancellation: CancellationToken | None = None,
        timeout_ms: int | None = None,
        *,
        await_events: AwaitEventResolver | None = None,
        registry: ProcessRegistry | None = None,
        waits: RunWaits | None = None,
        may_write: Callable[[], bool] | None = None,
    ) -> RuntimeEffectLocalExecutor:
        """A wait for the promise of the envelope's key; its outcome is a ``Resolution``.

        When the token is fired or the time is over first, the promise itself ends so, unless a value was faster
        (contract 5.5). A wait for a signal also ends by the signal's event in its process's log (docs/adr/0121).

        Args:
            cancellation: ends the wait.
            timeout_ms: the longest wait; a remainder that the envelope carries as ``timeout_ms`` comes first.
            await_events: the promises; None = those of the controller that executes the wait. Where neither is there,
                the effect raises ``await_event_unsupported``.
            registry: where logs of signalled processes are; None = the promise alone ends the wait.
            waits: of the run, when the key is one of the run's own process.
            may_write: False once the run has lost its lease: its end then decides nothing about the promise.
        """
        return _WaitExecutor(
            await_events,
            cancellation or CancellationToken(),
            timeout_ms,
            {"registry": registry, "waits": waits, "may_write": may_write},
        )

    @staticmethod
    def processes(
        registry: ProcessRegistry,
        command: AnyProcessCommand | None = None,
        *,
        waits: RunWaits | None = None,
        cancellation: CancellationToken | None = None,
    ) -> RuntimeEffectLocalExecutor:
        """A process command: the given one, else the envelope's. A start has to be given (docs/adr/0120).

        The executor of a start says what it starts (``StartsProcess``), so that a journal can start the process in one
        unit with its entry (decision 25). ``cancellation`` ends a wait for a process: ``ProcessWaitCancelledError``,
        which no journal records.
        """
        if isinstance(command, StartProcess):
            return _StartExecutor(registry, command)

        async def execute(envelope: RuntimeEffectEnvelope) -> dict[str, Any]:
            known = ProcessCommand.from_args(envelope.command.args) if command is None else command
            if cancellation is None or not isinstance(known, AwaitProcess):
                return await run_process_command(registry, known, waits)
            return await _await(registry, known, waits, cancellation)

        return RuntimeEffectLocalExecutor(execute)


class _WaitExecutor(RuntimeEffectLocalExecutor):
    """A wait for a promise."""

    def __init__(
        self,
        await_events: AwaitEventResolver | None,
        token: CancellationToken,
        timeout_ms: int | None,
        facts: dict[str, Any],
    ) -> None:
        async def execute(envelope: RuntimeEffectEnvelope) -> dict[str, Any]:
            if await_events is None:
                raise RuntimeFailure(AWAIT_EVENT_UNSUPPORTED, "this executor has no promises to wait for")
            args = envelope.command.args
            wait = PromiseWait(AwaitEventKey.from_json_value(args["key"]), await_events, token, **facts)
            left_ms = args.get("timeout_ms")
            return (await wait.resolution(timeout_ms if left_ms is None else left_ms)).to_json_value()

        super().__init__(execute)
        self._known = await_events
        self._wait = (token, timeout_ms, facts)

    def waiting_at(self, await_events: AwaitEventResolver) -> RuntimeEffectLocalExecutor:
        """This executor, or one that waits at ``await_events`` when it was given no promises itself."""
        return self if self._known is not None else _WaitExecutor(await_events, *self._wait)


class _StartExecutor(RuntimeEffectLocalExecutor):
    """A start: register and grant in one call of the registry, where no journal does it."""

    def __init__(self, registry: ProcessRegistry, command: StartProcess) -> None:
        async def execute(_: RuntimeEffectEnvelope) -> dict[str, Any]:
            return await run_process_command(registry, command)

        super().__init__(execute)
        self._command = command

    @property
    def child_start(self) -> ChildStart:
        """What to start."""
        return ChildStart(self._command.registration, self._command.grant_to, self._command.descriptor)


async def _await(
    registry: ProcessRegistry, command: AwaitProcess, waits: RunWaits | None, cancellation: CancellationToken
) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def wait() -> None:
        found.update(await run_process_command(registry, command, waits))

    if not await unless_cancelled(cancellation, wait()):
        raise ProcessWaitCancelledError(cancellation.reason or "the wait was cancelled")
    return found
