"""Promises of a process: a key that outside code resolves once, with a value, through its token (contract 5.5)."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from lash_core.errors import NotAvailableError, RuntimeFailure
from lash_core.model.await_event import (
    AlreadyResolved,
    AwaitEventKey,
    Resolution,
    WaitIdentity,
)
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.execution_scope import ExecutionScope
from lash_core.model.fast_build import fast_build
from lash_core.runtime.process.verbs import RunVerbs, checked_ms, checked_name
from lash_core.runtime.stored_await_events import StoredAwaitEvents

NAME_REPEATED = "await_event_name_repeated"
CANCELLED = "await_event_cancelled"


class PendingEvent:
    """What ``ctx.await_event`` answers: a token to give away at once, and the value when it is awaited.

    Attributes:
        name: as given.
        key: the signed key.
        timeout_ms: from the moment it is first awaited, kept over restarts; None waits for ever.
    """

    __slots__ = ("_verbs", "key", "name", "timeout_ms")

    def __init__(self, verbs: RunVerbs, name: str, key: AwaitEventKey, timeout_ms: int | None) -> None:
        self._verbs = verbs
        self.name = name
        self.key = key
        self.timeout_ms = timeout_ms

    @property
    def token(self) -> str:
        """The key as text. Whoever has it can resolve the promise once: ``lash process resolve TOKEN``."""
        return self.key.to_token()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.result().__await__()

    async def result(self) -> Any:
        """Wait for the resolution and answer its value.

        Raises:
            TimeoutError: nobody resolved it in time; nobody can any more. RuntimeFailure: it was resolved with an
                error (its code and message) or cancelled. NotAvailableError: a direct run.
        """
        args: dict[str, Any] = {"key": self.key.to_json_value()}
        if self.timeout_ms is not None:
            args["timeout_ms"] = self.timeout_ms
        outcome = await self._verbs.effect(f"await_event:{self.name}", EffectKind.AWAIT_EVENT, args, self._wait)
        resolution = outcome.into_await_event()
        match resolution.type:
            case "ok":
                return resolution.value
            case "err":
                raise RuntimeFailure(resolution.code or "await_event_failed", resolution.message or "")
            case "timeout":
                raise TimeoutError(f"nobody resolved `{self.name}` of process `{self._verbs.process_id}` in time")
            case "cancelled":
                raise RuntimeFailure(CANCELLED, f"the wait for `{self.name}` was cancelled")

    async def _wait(self, envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        verbs, timeout_ms = self._verbs, envelope.command.args.get("timeout_ms")
        if verbs.waits is None and verbs.journal is None:
            resolution = await self._directly(timeout_ms)
        else:
            found = await verbs.require_waits("await_event").promise(self.key, timeout_ms)
            resolution = await self._time_out() if found is None else found
        return fast_build(RuntimeEffectOutcome, {"kind": EffectKind.AWAIT_EVENT, "value": resolution.to_json_value()})

    async def _directly(self, timeout_ms: int | None) -> Resolution:
        """The wait of a process without a worker; where promises are stored it needs a row at least."""
        run, events = self._verbs.run, self._verbs.run.effects.await_events
        if isinstance(events, StoredAwaitEvents) and await run.registry.get_process(run.process_id) is None:
            # A token of a process without a row is not resolved by any client: the wait would have no end.
            raise NotAvailableError(
                "await_event needs a row: this process is run directly and has none", process_id=run.process_id
            )
        return await events.await_event(self.key, timeout_ms=timeout_ms)

    async def _time_out(self) -> Resolution:
        """The time is over: the promise itself ends so, unless a value was faster."""
        resolution = Resolution.timeout()
        with self._verbs.working():
            answer = await self._verbs.run.effects.resolve_await_event(self.key, resolution)
        return answer.terminal if isinstance(answer, AlreadyResolved) else resolution

    def __repr__(self) -> str:
        # Without the token: whoever reads a log must not be able to resolve the promise.
        return f"PendingEvent({self.name!r}, process_id={self._verbs.process_id!r})"


def pending_event(verbs: RunVerbs, name: str, timeout_ms: Any) -> PendingEvent:
    """Make the promise's key.

    Raises:
        InvalidArgumentError: a bad name or timeout. RuntimeFailure: ``await_event_name_repeated``;
            ``await_event_unsupported`` where this worker's role may not read the signing secret.
    """
    checked_name(name, "await_event name")
    limit_ms = None if timeout_ms is None else checked_ms(timeout_ms, "timeout_ms")
    if not verbs.take_name(f"await_event:{name}"):
        raise RuntimeFailure(
            NAME_REPEATED,
            f"await_event `{name}` was asked for twice in one run: a promise is resolved once. Keep the object, or "
            f'give each its own name, as in ctx.await_event(f"{name}-{{index}}")',
        )
    scope = ExecutionScope.process(verbs.process_id)
    key = verbs.run.effects.await_events.mint(scope, WaitIdentity.custom(name))
    return PendingEvent(verbs, name, key, limit_ms)
