"""What the verbs of a process context share: the run's parts, its effects by name, and what its store calls raise."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from lash_core.errors import InvalidArgumentError, LashError, NotAvailableError
from lash_core.model.base import JsonValue
from lash_core.model.effect import (
    EffectKind,
    EffectSubject,
    RuntimeEffectCommand,
    RuntimeEffectEnvelope,
    RuntimeEffectOutcome,
    RuntimeInvocation,
    RuntimeScope,
)
from lash_core.model.environment import process_env_session_id
from lash_core.model.event import Replay
from lash_core.model.fast_build import fast_build
from lash_core.model.lease import ProcessLease
from lash_core.model.scope import CausalRef
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.journal.run import RunEffects
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.process.frontier import Frontier
from lash_core.runtime.run_waits import RunWaits
from lash_core.store.effect_host import RuntimeEffectLocalExecutor
from lash_core.store.process_run_waits import ProcessRunWaits

NAME_BYTES_MAX = 100
"""A step's name, or its ``key``: both are part of its replay key."""

Submit = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a synchronous call beside the loop and answers its value."""

_NO_WORK: AbstractContextManager[None] = nullcontext()
_WAITS = (EffectKind.SLEEP, EffectKind.AWAIT_EVENT)


class RunVerbs:
    """One run as its verbs see it. Belongs to the run's event loop."""

    __slots__ = ("_caused_by", "_counts", "_names", "_scope", "frontier", "journal", "run", "store_error", "submit")

    def __init__(self, run: EngineRun, submit: Submit | None = None) -> None:
        self.run = run
        self.submit = submit
        self.journal = run.effects if isinstance(run.effects, RunEffects) else None
        replays = self.journal is not None and not self.journal.is_fresh
        self.frontier = Frontier(self.journal) if self.journal is not None and replays else None
        self.store_error: LashError | None = None
        """The last error of a store call made here: when it leaves the function, the worker retries the run."""
        self._counts: dict[str, int] = {}
        self._names: set[str] = set()
        self._scope: RuntimeScope | None = None
        self._caused_by: CausalRef | None = None

    @property
    def process_id(self) -> str:
        """The process."""
        return self.run.registration.id

    @property
    def waits(self) -> RunWaits | None:
        """What the run waits with; None in a direct run."""
        return self.run.context.waits

    def require_waits(self, verb: str) -> RunWaits:
        """The waits of a run that a worker holds. Raises: NotAvailableError in a direct run, naming the verb."""
        waits = self.run.context.waits
        if waits is None:
            raise NotAvailableError(
                f"{verb} needs a row and a worker: this process is run directly, without a lease",
                process_id=self.process_id,
            )
        return waits

    @property
    def run_registry(self) -> ProcessRunWaits:
        """The registry's verbs for waits. Raises: NotAvailableError where it has none."""
        registry = self.run.registry
        if not isinstance(registry, ProcessRunWaits):
            raise NotAvailableError("this registry has no waits of runs", process_id=self.process_id)
        return registry

    def lease(self) -> ProcessLease | None:
        """The lease for a fenced write; None in a direct run. Raises: LeaseLostError."""
        held = self.run.context.run_lease
        return None if held is None else held.require()

    def working(self) -> AbstractContextManager[None]:
        """Around what keeps the run's slot. Raises: asyncio.CancelledError when the run ends here."""
        waits = self.run.context.waits
        return _NO_WORK if waits is None else waits.working()

    # -- names ---------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """The next number of a name, from 1: the same in every attempt that asks for the same things in order."""
        number = self._counts[name] = self._counts.get(name, 0) + 1
        return number

    def take_name(self, name: str) -> bool:
        """Note a name; False when it was noted before in this run."""
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def key(self, suffix: str) -> str:
        """A replay key of this process."""
        return f"process:{self.process_id}:{suffix}"

    # -- effects -------------------------------------------------------------------------------------

    async def effect(
        self, effect_id: str, kind: EffectKind, args: dict[str, JsonValue], executor: RuntimeEffectLocalExecutor
    ) -> RuntimeEffectOutcome:
        """Run or replay one effect; its replay key is ``process:<pid>:<effect id>``.

        Raises:
            What the controller raises; errors of the store are remembered.
        """
        envelope = self._envelope(effect_id, kind, args)
        # A journal says itself when an effect works and when it waits.
        waits = self.journal is not None or kind in _WAITS or args.get("op") == "await"
        with self.calling(), _NO_WORK if waits else self.working():
            return await self.run.effects.execute_effect(envelope, executor)

    @contextmanager
    def calling(self) -> Generator[None]:
        """Around a verb's calls of the store: what they raise is the worker's business when it leaves the function."""
        frontier = self.frontier
        if frontier is not None:
            frontier.enter()
        try:
            yield
        except STORE_ERRORS as error:
            self.store_error = error
            raise
        finally:
            if frontier is not None:
                frontier.leave()

    async def begin(self) -> None:
        """Before a write or wait beside the journal: see ``RunEffects.begin``."""
        if self.journal is not None:
            await self.journal.begin()

    def _envelope(self, effect_id: str, kind: EffectKind, args: dict[str, JsonValue]) -> RuntimeEffectEnvelope:
        # Built unchecked: a replay makes one for each of its steps, and every part is known to fit.
        if self._scope is None:
            self._scope = RuntimeScope(process_env_session_id(self.process_id))
            self._caused_by = CausalRef.process(self.process_id)
        invocation = fast_build(
            RuntimeInvocation,
            {
                "scope": self._scope,
                "subject": fast_build(EffectSubject, {"effect_id": effect_id, "kind": kind}),
                "caused_by": self._caused_by,
                "replay": fast_build(Replay, {"key": self.key(effect_id)}),
            },
        )
        command = fast_build(RuntimeEffectCommand, {"kind": kind, "args": args})
        return fast_build(RuntimeEffectEnvelope, {"invocation": invocation, "command": command})


def checked_name(value: object, subject: str) -> str:
    """A name of 1 to ``NAME_BYTES_MAX`` bytes without ``#`` and control characters. Raises: InvalidArgumentError."""
    if isinstance(value, str) and value.strip():
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            size = 0
        if 0 < size <= NAME_BYTES_MAX and "#" not in value and value.isprintable():
            return value
    raise InvalidArgumentError(
        f"{subject} {str(value)[:80]!r} must be 1 to {NAME_BYTES_MAX} bytes of printable text without `#`",
        field=subject.replace(" ", "_"),
        value=str(value),
        limit=NAME_BYTES_MAX,
    )


def checked_ms(value: Any, subject: str) -> int:
    """A duration in ms, from an int or a timedelta. Raises: InvalidArgumentError: negative, or no duration."""
    if isinstance(value, datetime.timedelta):
        value = round(value.total_seconds() * 1_000)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**53:
        raise InvalidArgumentError(
            f"{subject} is {value!r}; it must be milliseconds, 0 to 2^53, or a timedelta", field=subject, value=value
        )
    return value
