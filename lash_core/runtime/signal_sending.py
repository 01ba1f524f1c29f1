"""Sending a signal: one event a signal id, then the promise of the wait that this event ends (contract 4.6).

The wait is counted by the event's own sequence, never by what the target waits for now (decision 10, hazard 5): a
repeated old signal resolves its own old wait again, and of two signals inside one wait each ends its own.
"""

from __future__ import annotations

from typing import Any

from lash_core.errors import RuntimeFailure, UnknownProcessError
from lash_core.model.await_event import AWAIT_EVENT_UNSUPPORTED, Resolution, WaitIdentity
from lash_core.model.event import ProcessEvent
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.process_command import SignalProcess
from lash_core.runtime.process.op_scope import ProcessOpScope, execute_process_command
from lash_core.store.effect_host import AwaitEventResolver, RuntimeEffectLocalExecutor
from lash_core.store.process_registry import ProcessRegistry


async def send_signal(
    registry: ProcessRegistry,
    session_id: str,
    signal: SignalProcess,
    scope: ProcessOpScope,
    *,
    executor: RuntimeEffectLocalExecutor,
) -> ProcessEvent:
    """Append a signal through the effect boundary and resolve the wait that it ends. Safe to repeat.

    A crash between the two loses nothing: the event stays, waiters look at the log too, and a repeat resolves.

    Raises:
        UnknownProcessError, UndeclaredEventTypeError, InvalidPayloadError, ReplayKeyConflictError: nothing was
            appended. RuntimeFailure: the same, from a journal.
    """
    value = await execute_process_command(session_id, signal, scope, executor)
    event = event_of(signal, value["event"])
    try:
        ordinal = await registry.count_events_through(signal.process_id, event.event_type, event.sequence)
    except UnknownProcessError:
        # A recorded signal, replayed after its target was pruned: nobody waits.
        ordinal = 0
    if ordinal > 0:
        await resolve_signal(scope.effects.await_events, signal, ordinal)
    return event


async def resolve_signal(await_events: AwaitEventResolver, signal: SignalProcess, ordinal: int) -> None:
    """Resolve the ``ordinal``-th wait for a signal of this name; one that was resolved before stays as it is.

    A host that may not sign keys leaves that to the waiter, which finds the event in its log.
    """
    identity = WaitIdentity.process_signal(signal.process_id, signal.signal_name, ordinal)
    try:
        key = await await_events.await_event_key(ExecutionScope.process(signal.process_id), identity)
    except RuntimeFailure as error:
        if error.code == AWAIT_EVENT_UNSUPPORTED:
            return
        raise
    await await_events.resolve(key, Resolution.ok(signal.request.payload))


def event_of(signal: SignalProcess, facts: dict[str, Any]) -> ProcessEvent:
    """The stored event of an outcome, which leaves the payload out: the signal has it."""
    return ProcessEvent.model_validate({**facts, "payload": signal.request.payload})
