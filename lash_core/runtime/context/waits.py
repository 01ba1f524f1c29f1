"""Sleeping, waiting for signals, sending them, appending events (contract 4.4 to 4.7)."""

from __future__ import annotations

from lash_core.errors import NotAvailableError, RuntimeFailure
from lash_core.model.await_event import WaitIdentity
from lash_core.model.base import JsonValue
from lash_core.model.effect import RuntimeEffectCommand, RuntimeEffectEnvelope
from lash_core.model.event import ProcessEvent, ProcessEventAppendRequest
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_command import SignalProcess
from lash_core.runtime.causal import process_await_event_invocation, process_sleep_invocation
from lash_core.runtime.context.state import ContextState, ProcessEventContext
from lash_core.runtime.local_executors import RuntimeEffectLocalExecutor
from lash_core.runtime.signal_sending import send_signal
from lash_core.runtime.turn_activities import poke_queued_work
from lash_core.store.process_registry import ProcessRegistry

SIGNAL_WAIT_TIMEOUT = "process_signal_wait_timeout"
SIGNAL_WAIT_CANCELLED = "process_signal_wait_cancelled"


class ProcessWaits(ContextState):
    """What a run waits for, and what it says to others and to its own log."""

    async def sleep_process(self, scope: str, sequence: int, duration_ms: int) -> None:
        """Sleep durably: a replay waits only what is left since the first record.

        Args:
            scope: names the place in the program; engines pass ``process:<pid>``.
            sequence: of this sleep in its scope; deterministic.
            duration_ms: at least 0.

        Raises:
            RuntimeFailure: ``runtime_effect_sleep_cancelled``, ``runtime_effect_wrong_outcome``.
        """
        invocation = process_sleep_invocation(self._session_id, self._parent_invocation, scope, sequence)
        envelope = RuntimeEffectEnvelope.create(invocation, RuntimeEffectCommand.sleep(duration_ms))
        executor = RuntimeEffectLocalExecutor.sleep(self._cancellation_token, waits=self._waits_of_run)
        (await self._dispatch.effect_controller.execute_effect(envelope, executor)).into_sleep()

    async def await_process_signal_event(self, process_id: str, signal_name: str, event_ordinal: int) -> JsonValue:
        """Wait for the ``event_ordinal``-th signal of a name, from 1, and answer its payload. No deadline.

        One counter a signal name, advanced by the waiter. A signal sent before the wait is there already.

        Raises:
            RuntimeFailure: ``process_signal_wait_timeout``, ``process_signal_wait_cancelled``, the code and message
                that the promise was resolved with, ``await_event_unknown_or_revoked``.
            InvalidArgumentError: not a signal name.
        """
        effects, context = self._dispatch.effect_controller, self._event_context
        invocation = process_await_event_invocation(
            self._session_id, self._parent_invocation, process_id, signal_name, event_ordinal
        )
        identity = WaitIdentity.process_signal(process_id, signal_name, event_ordinal)
        key = await effects.await_event_key(ExecutionScope.process(process_id), identity)
        executor = RuntimeEffectLocalExecutor.await_event(
            self._cancellation_token,
            await_events=effects.await_events,
            registry=None if context is None else context.registry,
            waits=self._waits_of_run if self._is_own(process_id) else None,
            may_write=None if context is None else context.may_write,
        )
        envelope = RuntimeEffectEnvelope.create(invocation, RuntimeEffectCommand.await_event(key))
        resolution = (await effects.execute_effect(envelope, executor)).into_await_event()
        match resolution.type:
            case "ok":
                return resolution.value
            case "err":
                raise RuntimeFailure(resolution.code or "", resolution.message or "")
            case "timeout":
                raise RuntimeFailure(SIGNAL_WAIT_TIMEOUT, "process signal wait timed out")
            case "cancelled":
                raise RuntimeFailure(SIGNAL_WAIT_CANCELLED, "process signal wait was cancelled")

    async def signal_process_by_id(
        self,
        registry: ProcessRegistry,
        process_id: str,
        signal_name: str,
        signal_id: str,
        payload: JsonValue = None,
    ) -> ProcessEvent:
        """Send a signal as the host does: no handle is asked for. At most one event a ``signal_id``. Safe to repeat.

        Raises:
            InvalidArgumentError: not a signal name. UndeclaredEventTypeError, InvalidPayloadError,
            ReplayKeyConflictError, UnknownProcessError, or a RuntimeFailure with their text from a journal.
        """
        signal = SignalProcess.of(process_id, signal_name, signal_id, payload)
        executor = RuntimeEffectLocalExecutor.processes(registry, signal)
        with self._at_work():
            return await send_signal(registry, self._session_id, signal, self.process_scope(), executor=executor)

    async def append_process_event(
        self, registry: ProcessRegistry, process_id: str, request: ProcessEventAppendRequest
    ) -> ProcessEvent:
        """Append an event of a running process; its wake leaves with it, in one unit (docs/adr/0122).

        About the context's own process the write carries the run's lease. Safe to repeat with a replay key. A wake
        whose session is gone is dropped; the append never fails for it.

        Raises:
            NotAvailableError: outside a process. What ``ProcessRegistry.append_event`` raises; nothing was written.
        """
        context = self._event_context
        if context is None:
            raise NotAvailableError("process event emission is unavailable outside a durable process")
        lease = context.run_lease if process_id == context.process_id else None
        with self._at_work():
            result = await registry.append_event(process_id, request, lease=None if lease is None else lease.require())
            if result.wake_delivery is not None:
                await _poke(context, result.wake_delivery.target_session_id)
        return result.event

    def _is_own(self, process_id: str) -> bool:
        return self._event_context is not None and self._event_context.process_id == process_id


async def _poke(context: ProcessEventContext, session_id: str) -> None:
    """Say that a session was woken, unless it is known to be gone."""
    sessions = context.session_store_factory
    if context.queued_work_poke is None:
        return
    if sessions is not None and await sessions.open_existing_store(session_id) is None:
        return
    await poke_queued_work(context.queued_work_poke, session_id)
