"""Waiting for a process's own signals: the n-th event of a name in its log (contract 4.5, docs/contracts/effects.md 5).

The value needs no journal entry: the log has it. A wait with a time limit has one, with its due time, because how the
wait ended must not depend on when a replay looks.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lash_core.clock import SystemClock
from lash_core.errors import LashError, RuntimeFailure, UnknownSignalError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.event import ProcessEvent
from lash_core.model.facts import SignalWait, WaitState
from lash_core.model.fast_build import fast_build
from lash_core.runtime.journal.run import SIGNAL_WAIT_TIMEOUT
from lash_core.runtime.process.verbs import RunVerbs, checked_ms
from lash_core.runtime.run_waits import RunWaits

SIGNAL_INVALID = "signal_payload_invalid"

_CLOCK = SystemClock()
"""Only for the ``since_ms`` that people read; nothing is decided by it."""


class _Ordinals:
    """Which signal of a name a wait waits for. One that ran out of time does not use up its number."""

    __slots__ = ("_free", "_next", "_tries")

    def __init__(self) -> None:
        self._next = 1
        self._free: list[int] = []
        self._tries: dict[int, int] = {}

    def take(self) -> tuple[int, int]:
        """The lowest number that no wait has, and how often it was waited for, this time included."""
        if self._free:
            ordinal = heapq.heappop(self._free)
        else:
            ordinal, self._next = self._next, self._next + 1
        tries = self._tries[ordinal] = self._tries.get(ordinal, 0) + 1
        return ordinal, tries

    def give_back(self, ordinal: int) -> None:
        """The wait ended without the signal: the next one waits for the same."""
        heapq.heappush(self._free, ordinal)


class SignalWaits:
    """The signal waits of one run.

    Args:
        verbs: the run.
        types: adapters of the payloads that the app declared a type for, by signal name.
    """

    __slots__ = ("_ordinals", "_types", "_verbs")

    def __init__(self, verbs: RunVerbs, types: Mapping[str, TypeAdapter[Any]]) -> None:
        self._verbs = verbs
        self._types = types
        self._ordinals: dict[str, _Ordinals] = {}

    async def wait(self, name: str, timeout_ms: Any = None) -> Any:
        """Wait for the next signal of a name and answer its payload.

        Raises:
            TimeoutError: none came in time; the next wait of that name waits for the same one.
            UnknownSignalError: the process does not declare it. NotAvailableError: a direct run.
            RuntimeFailure: ``signal_payload_invalid``: the payload does not fit the declared type any more.
        """
        verbs = self._verbs
        limit_ms = None if timeout_ms is None else checked_ms(timeout_ms, "timeout_ms")
        if verbs.run.registration.event_type(f"signal.{name}") is None:
            raise UnknownSignalError(
                f'process `{verbs.process_id}` declares no signal `{name}`; declare it: signals={{"{name}": None}}',
                field="name",
                value=name,
                process_id=verbs.process_id,
            )
        waits = verbs.require_waits("wait_signal")
        ordinals = self._ordinals.setdefault(name, _Ordinals())
        ordinal, tries = ordinals.take()
        effect_id = f"signal.{name}:await:{ordinal}" + (f":{tries}" if tries > 1 else "")
        args: dict[str, Any] = {"signal": name, "ordinal": ordinal}
        if limit_ms is not None:
            args["timeout_ms"] = limit_ms

        async def execute(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
            left_ms: int | None = envelope.command.args.get("timeout_ms")
            event = await self._event(SignalWait.of(verbs.process_id, name, ordinal), left_ms, waits)
            if event is None:
                text = f"signal `{name}` number {ordinal} did not come within {limit_ms} ms"
                raise RuntimeFailure(SIGNAL_WAIT_TIMEOUT, text)
            return fast_build(RuntimeEffectOutcome, {"kind": EffectKind.AWAIT_EVENT, "value": event.payload})

        try:
            outcome = await verbs.effect(effect_id, EffectKind.AWAIT_EVENT, args, execute)
        except BaseException as error:
            ordinals.give_back(ordinal)
            if isinstance(error, RuntimeFailure) and error.code == SIGNAL_WAIT_TIMEOUT:
                raise TimeoutError(error.detail) from None
            raise
        return self._decoded(name, outcome.value)

    async def _event(self, wait: SignalWait, timeout_ms: int | None, waits: RunWaits) -> ProcessEvent | None:
        """The event: from the log as it is, else after a wait that the row shows; None when the time is over."""
        with self._verbs.working():
            logged = await waits.logged(wait.event_type)
        if len(logged) >= wait.ordinal:
            if self._shown(wait):
                # An attempt before this one began to wait and ended before it could say that the signal came.
                await self._end(wait, received=True)
            return logged[wait.ordinal - 1]
        await self._verbs.begin()
        await self._begin(wait)
        try:
            event = await waits.signal(wait.event_type, wait.ordinal, timeout_ms)
        except asyncio.CancelledError:
            await self._abandon(wait)
            raise
        await self._end(wait, received=event is not None)
        return event

    def _shown(self, wait: SignalWait) -> bool:
        record = self._verbs.run.context.record
        return record is not None and record.wait is not None and record.wait.kind == wait

    async def _begin(self, wait: SignalWait) -> None:
        verbs, lease = self._verbs, self._verbs.lease()
        if lease is None:
            return
        started = None if verbs.journal is None else verbs.journal.unrecorded_start()
        state = WaitState(since_ms=_CLOCK.now_ms(), kind=wait)
        with verbs.working():
            await verbs.run_registry.begin_signal_wait(verbs.process_id, state, lease=lease, first_started=started)

    async def _end(self, wait: SignalWait, *, received: bool) -> None:
        verbs, lease = self._verbs, self._verbs.lease()
        if lease is None:
            return
        state = WaitState(since_ms=_CLOCK.now_ms(), kind=wait)
        with verbs.working():
            await verbs.run_registry.end_signal_wait(verbs.process_id, state, lease=lease, received=received)

    async def _abandon(self, wait: SignalWait) -> None:
        """The function was told to end while it waited: the row shows no wait while it cleans up.

        A run that leaves memory goes on waiting, so it leaves the wait as it is.
        """
        journal = self._verbs.journal
        if journal is not None and journal.refused:
            return
        with suppress(LashError, OSError, asyncio.CancelledError):
            await self._end(wait, received=False)

    def _decoded(self, name: str, payload: Any) -> Any:
        adapter = self._types.get(name)
        if adapter is None:
            return payload
        try:
            return adapter.validate_json(canonical_json(payload))
        except ValidationError as error:
            raise RuntimeFailure(
                SIGNAL_INVALID, f"the payload of signal `{name}` does not fit its type: {error.errors()[0]['msg']}"
            ) from error
