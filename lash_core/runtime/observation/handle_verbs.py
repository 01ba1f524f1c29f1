"""What a host asks of a session on its handle, without waiting for the turn that runs.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from lash_core.model.process_command import ProcessListMode
from lash_core.model.queued_work import (
    DeliveryPolicy,
    QueuedWorkBatch,
    QueuedWorkClaim,
    SessionCommandPayload,
    SlotPolicy,
)
from lash_core.model.session_observation import SessionQueueEventKind
from lash_core.model.turn_input import (
    TurnInput,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputSuffixOutcome,
)
from lash_core.runtime.observation.recording import Recording
from lash_core.runtime.observation.runtime_observation import RuntimeObservation
from lash_core.runtime.observation.shared_runtime import RuntimeWriter
from lash_core.runtime.session.session_queue import SessionQueue

if TYPE_CHECKING:
    from lash_core.runtime.lash_runtime import LashRuntime


TOLD_WITHIN_MS: Final = 1_000
"""What is queued is queued whoever watches: who queued it waits no longer than this for the ring."""


class HandleVerbs(ABC):
    """Queue and process handles of a session, as it was last published; watchers are told of what changed."""

    @abstractmethod
    def observe(self) -> RuntimeObservation:
        """What was published last."""

    @abstractmethod
    def writer(self) -> RuntimeWriter:
        """The right to work with the runtime."""

    @abstractmethod
    async def publish_from(self, runtime: LashRuntime) -> None:
        """Show what the runtime is now."""

    @abstractmethod
    def record_queue_changed(self, kind: SessionQueueEventKind, batch_ids: Sequence[str]) -> Recording:
        """Tell watchers that the queue changed."""

    # -- queue -----------------------------------------------------------------------------------------

    async def enqueue_turn_input(
        self,
        input: TurnInput,
        delivery_policy: DeliveryPolicy = DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy: SlotPolicy = SlotPolicy.JOIN,
        source_key: str | None = None,
    ) -> QueuedWorkBatch:
        """Queue an input and poke who works queues off. With a source key it is safe to repeat.

        Raises:
            RuntimeFailure: ``store_commit_failed``: there is no store. InvalidArgumentError: live parts.
        """
        batch = await self._queue().enqueue_turn_input(input, delivery_policy, slot_policy, source_key)
        await self._tell(SessionQueueEventKind.ENQUEUED, (batch.batch_id,))
        return batch

    async def cancel_queued_work_batch(self, session_id: str, batch_id: str) -> QueuedWorkBatch | None:
        """Take a batch out of the queue; None: it is not there, or a turn has it.

        Raises:
            RuntimeFailure: ``store_commit_failed``: there is no store, or it refused; another session's among it.
        """
        batch = await self._queue().cancel_queued_work_batch(session_id, batch_id)
        if batch is not None:
            await self._tell(SessionQueueEventKind.CANCELLED, (batch_id,))
        return batch

    async def abandon_queued_work_claim(self, claim: QueuedWorkClaim) -> tuple[str, ...]:
        """Give claimed rows back; answers their batch ids, which are in the queue again."""
        batch_ids = await self._queue().abandon_queued_work_claim(claim)
        if batch_ids:
            await self._tell(SessionQueueEventKind.ENQUEUED, batch_ids)
        return batch_ids

    async def cancel_pending_turn_input(self, target: TurnInputCancelTarget) -> TurnInputCancelOutcome:
        """Cancel one pending input."""
        return (await self.cancel_pending_turn_inputs((target,)))[0]

    async def cancel_pending_turn_inputs(
        self, targets: Sequence[TurnInputCancelTarget]
    ) -> tuple[TurnInputCancelOutcome, ...]:
        """Cancel pending inputs: one outcome a target, in order."""
        outcomes = await self._queue().cancel_pending_turn_inputs(targets)
        await self._tell_cancelled(outcomes)
        return outcomes

    async def cancel_pending_turn_input_suffix(self, anchor: TurnInputCancelTarget) -> TurnInputSuffixOutcome:
        """Cancel a pending input and every later one."""
        outcome = await self._queue().cancel_pending_turn_input_suffix(anchor)
        await self._tell_cancelled(outcome.outcomes)
        return outcome

    async def submit_session_command(
        self, command: SessionCommandPayload, idempotency_key: str
    ) -> QueuedWorkBatch | None:
        """Let the session do something without a model: queued, or done at once (None) where there is no store.

        Raises:
            InvalidArgumentError: a blank idempotency key.
        """
        queue = self._queue()
        if queue.store is None:
            async with self.writer() as runtime:
                await runtime.submit_session_command(command, idempotency_key)
                await self.publish_from(runtime)
            return None
        batch = await queue.enqueue_session_command(command, idempotency_key)
        await self._tell(SessionQueueEventKind.ENQUEUED, (batch.batch_id,))
        return batch

    async def drain_next_session_command(self) -> QueuedWorkBatch | None:
        """Run the command at the head of the queue and publish the session; None when none leads it.

        Raises:
            SessionBusyError: somebody else has the session.
        """
        async with self.writer() as runtime:
            batch = await runtime.drain_next_session_command()
            if batch is not None:
                await self.publish_from(runtime)
            return batch

    async def _tell_cancelled(self, outcomes: Sequence[TurnInputCancelOutcome]) -> None:
        input_ids = [one.input.input_id for one in outcomes if one.outcome == "cancelled" and one.input is not None]
        if input_ids:
            await self._tell(SessionQueueEventKind.CANCELLED, input_ids)

    async def _tell(self, kind: SessionQueueEventKind, batch_ids: Sequence[str]) -> None:
        """As ``record_queue_changed``, and wait for it: its stores may be closed as soon as the verb returns."""
        recording = self.record_queue_changed(kind, batch_ids)
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN_MS / 1_000):
                await recording

    def _queue(self) -> SessionQueue:
        observation = self.observe()
        return SessionQueue(observation.session_id, observation.queue_store, observation.queued_work_poke)

    # -- processes -------------------------------------------------------------------------------------

    async def list_process_handles(self, mode: ProcessListMode = ProcessListMode.LIVE) -> tuple[dict[str, Any], ...]:
        """Handles of the session and of its current frame, by process id; none where they cannot be listed."""
        return await self.observe().list_process_handles(mode)

    async def list_all_process_handles(self) -> tuple[dict[str, Any], ...]:
        """As ``list_process_handles``, with those of processes that are over."""
        return await self.observe().list_all_process_handles()
