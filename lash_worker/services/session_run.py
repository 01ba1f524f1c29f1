"""One claimed session: its runtime built, its queue worked off turn by turn, its lease given back."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from lash_core.clock import own_time_ms
from lash_core.errors import LashError, PluginSessionError, RuntimeFailure
from lash_core.model.session_lease import SessionExecutionLease
from lash_core.model.turn_outcome import AgentFrameSwitchOutcome, AssembledTurn, FinishedOutcome, StoppedOutcome
from lash_core.runtime.journal.errors import STORE_ERRORS
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.observation.turn_publisher import publisher_of
from lash_core.runtime.session.lease_guard import SessionLeaseGuard
from lash_core.store.ready_sessions import ReadySession
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_worker.services.session_context import SessionContext

TURNS_PER_CLAIM_MAX = 16
"""Turns that one claim takes before it lets other sessions have the place."""
DECLINE_DELAY_MS = 100
DECLINE_DELAY_MAX_MS = 30_000
"""A session that this worker cannot run is left to the others: for 100 ms at first, doubling to 30 s."""
DECLINES_REMEMBERED_MAX = 10_000
"""Sessions whose declines are counted; a forgotten one starts again with the short delay."""
HIDDEN_TASKS_SECONDS = 30.0
"""Plumbing that turns spawned holds its session for this long at most."""
RELEASE_SECONDS = 2.0
"""A store that is away is not waited for longer than this: the lease then ends by itself."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Declines:
    """How often sessions were given back in a row: what their delays grow by."""

    _counts: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])

    def next_delay_ms(self, session_id: str) -> int:
        """Count one and answer how long the session is left alone."""
        count = self._counts.pop(session_id, 0)
        self._counts[session_id] = count + 1
        if len(self._counts) > DECLINES_REMEMBERED_MAX:
            self._counts.popitem(last=False)
        return min(DECLINE_DELAY_MS * 2 ** min(count, 16), DECLINE_DELAY_MAX_MS)

    def forget(self, session_id: str) -> None:
        """A turn was taken."""
        self._counts.pop(session_id, None)


class SessionRun:
    """Runs the turns of one claimed session. Made and awaited by the drainer, on its loop.

    Args:
        context: this worker's way to sessions.
        claimed: the session and its lease.
        sent_at_ms: ``own_time_ms()`` before the claim was sent.
        declines: shared by all runs of the worker.
    """

    def __init__(self, context: SessionContext, claimed: ReadySession, sent_at_ms: float, declines: Declines) -> None:
        self._context = context
        self._claimed = claimed
        self._sent_at_ms = sent_at_ms
        self._declines = declines
        self._guard: SessionLeaseGuard | None = None
        self.turns = 0
        self.on_declined: Callable[[], None] | None = None
        """Told when this worker lacks what the session needs."""

    @property
    def session_id(self) -> str:
        """The session."""
        return self._claimed.lease.session_id

    @property
    def lease(self) -> SessionExecutionLease:
        """The lease as it was claimed."""
        return self._claimed.lease

    async def run(self) -> None:
        """Work until the queue is idle, the session is somebody else's, or this worker cannot go on.

        Nothing is raised but a cancel: what it held is given back then, and a peer redoes the turn from its journal.
        """
        try:
            store = await self._context.factory.open_existing_store(self.session_id)
        except asyncio.CancelledError:
            await self.give_back(0)
            raise
        except (LashError, OSError) as error:
            await self._failed("store", error)
            return
        if store is None:
            # Deleted since it was claimed, and its lease with it.
            return
        self._guard = SessionLeaseGuard.adopt(
            store, self._claimed.lease, self._context.timings, sent_at_ms=self._sent_at_ms
        )
        try:
            await self._work(store, self._guard)
        except asyncio.CancelledError:
            await self.give_back(0)
            raise
        except RuntimeFailure as failure:
            await self._failed(failure.code, failure)
        except STORE_ERRORS as error:
            await self._failed("store", error)
        except LashError as error:
            await self._failed(error.code, error)
        except Exception as error:  # noqa: BLE001 - a plugin's or a provider's code must not end the worker
            _log.exception("session %s: a run ended with an error", self.session_id)
            await self._failed("error", error)

    async def give_back(self, delay_ms: int) -> None:
        """Release the lease, once; the session is due again after the delay. Never raises; 2 s at most."""
        guard = self._guard
        if guard is not None:
            if guard.released:
                return
            guard.mark_released()
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._context.ready.defer_session(self.lease if guard is None else guard.lease, delay_ms)
        except (LashError, OSError, TimeoutError) as error:
            _log.warning("session %s: its lease ends by itself: %s", self.session_id, error)

    async def _work(self, store: RuntimePersistence, guard: SessionLeaseGuard) -> None:
        runtime = await self._context.build(store, self.lease.owner)
        try:
            lacking = self._context.lacks(runtime)
            if lacking is not None:
                await self._decline(lacking, runtime)
                return
            # It was read under this very lease, and so are all its turns: nobody else can have written in between.
            runtime.turn_memory.generation = guard.generation
            publisher = publisher_of(runtime)
            for _ in range(TURNS_PER_CLAIM_MAX):
                began = own_time_ms()
                turn = await runtime.run_next_queued_turn(lease=guard, sender=publisher)
                if turn is None:
                    break
                self._count(turn, own_time_ms() - began)
            await self._await_hidden_tasks(runtime)
            await guard.release()
            if publisher is not None:
                # What was committed beside turns: a command of the session, say.
                await publisher.publish()
        finally:
            runtime.close()

    async def _await_hidden_tasks(self, runtime: LashRuntime) -> None:
        """The turns' plumbing ends under their lease; what it raises is only logged: the turns are stored."""
        try:
            async with asyncio.timeout(HIDDEN_TASKS_SECONDS):
                await runtime.background_tasks.await_hidden_tasks(self.session_id)
        except TimeoutError:
            _log.warning("session %s: hidden tasks do not end; they are cancelled", self.session_id)
        except PluginSessionError as error:
            _log.warning("session %s: %s", self.session_id, error)

    def _count(self, turn: AssembledTurn, took_ms: float) -> None:
        self.turns += 1
        self._declines.forget(self.session_id)
        metrics = self._context.metrics
        outcome = "stopped"
        if isinstance(turn.outcome, FinishedOutcome):
            outcome = "finished"
        elif isinstance(turn.outcome, AgentFrameSwitchOutcome):
            outcome = "switched"
        if isinstance(turn.outcome, StoppedOutcome) and turn.outcome.reason != "cancelled":
            why = turn.errors[-1].message if turn.errors else "no error is recorded"
            _log.warning(
                "session %s: a turn was stopped: %s (%s)",
                self.session_id,
                turn.outcome.reason,
                why,
                extra={"session_id": self.session_id, "turn_id": turn.turn_id},
            )
        metrics.turns.labels(outcome).inc()
        metrics.turn_seconds.observe(took_ms / 1_000)

    async def _decline(self, reason: str, runtime: LashRuntime) -> None:
        delay_ms = self._declines.next_delay_ms(self.session_id)
        self._context.metrics.declined.labels(reason).inc()
        if self.on_declined is not None:
            self.on_declined()
        _log.info(
            "session %s is left to other workers for %d ms: %s (model `%s`, provider `%s`)",
            self.session_id,
            delay_ms,
            reason,
            runtime.policy.model.id,
            runtime.policy.provider_id,
            extra={"session_id": self.session_id},
        )
        await self.give_back(delay_ms)

    async def _failed(self, reason: str, error: BaseException) -> None:
        self._context.metrics.failed.labels(reason).inc()
        delay_ms = self._declines.next_delay_ms(self.session_id)
        _log.warning(
            "session %s: its run ended, it is tried again in %d ms: %s",
            self.session_id,
            delay_ms,
            error,
            extra={"session_id": self.session_id, "reason": reason},
        )
        await self.give_back(delay_ms)
