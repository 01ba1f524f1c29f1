"""What a host puts into a session's queue and takes out of it, with the session's runtime at hand or without.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lash_core.errors import InvalidArgumentError, LashError, OutcomeUnknownError, RuntimeFailure
from lash_core.model.queued_work import (
    DeliveryPolicy,
    QueuedWorkBatch,
    QueuedWorkClaim,
    QueuedWorkDraft,
    SessionCommandPayload,
    SlotPolicy,
    TurnInputPayload,
    session_command_draft,
)
from lash_core.model.turn_input import (
    TurnInput,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputSuffixOutcome,
)
from lash_core.runtime.runtime_host import QueuedWorkDriver
from lash_core.runtime.turn_activities import poke_work_driver
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore

STORE_COMMIT_FAILED = "store_commit_failed"
QUEUED_TURN_INPUT = "queued_turn_input"
"""Why the work driver is poked."""


@dataclass(frozen=True, slots=True)
class SessionQueue:
    """The queue of one session. Needs no runtime, so that nobody waits for the turn that runs.

    Attributes:
        session_id: the session.
        store: its store; None = there is none, and every verb raises RuntimeFailure ``store_commit_failed``.
        driver: told that work waits; None = nobody here.
    """

    session_id: str
    store: RuntimePersistence | None
    driver: QueuedWorkDriver | None

    @classmethod
    def of_runtime(cls, runtime: RuntimeCore) -> SessionQueue:
        """The queue of a runtime's session."""
        return cls(runtime.session_id, runtime.store, runtime.host.queued_work_driver)

    async def enqueue_turn_input(
        self,
        turn_input: TurnInput,
        delivery_policy: DeliveryPolicy,
        slot_policy: SlotPolicy,
        source_key: str | None,
    ) -> QueuedWorkBatch:
        """See ``LashRuntime.enqueue_turn_input``."""
        store = self._store("queued turn input")
        if not turn_input.is_durable:
            raise InvalidArgumentError(
                "queued turn input cannot keep a live protocol extension or live inputs of plugins", field="input"
            )
        draft = QueuedWorkDraft(
            session_id=self.session_id,
            delivery_policy=delivery_policy,
            slot_policy=slot_policy,
            payloads=(TurnInputPayload(turn_input),),
            source_key=source_key,
        )
        return await self._enqueued(store, draft, QUEUED_TURN_INPUT)

    async def enqueue_session_command(self, command: SessionCommandPayload, idempotency_key: str) -> QueuedWorkBatch:
        """Queue a command. Safe to repeat. Raises: InvalidArgumentError: a blank key."""
        draft = session_command_draft(self.session_id, command, idempotency_key)
        return await self._enqueued(self._store("a queued command"), draft, "session_command")

    async def cancel_queued_work_batch(self, session_id: str, batch_id: str) -> QueuedWorkBatch | None:
        """See ``LashRuntime.cancel_queued_work_batch``."""
        store = self._store("queued turn input")
        try:
            return await store.cancel_queued_work_batch(session_id, batch_id)
        except OutcomeUnknownError:
            raise
        except LashError as error:
            raise RuntimeFailure(STORE_COMMIT_FAILED, f"queued work could not be cancelled: {error}") from error

    async def abandon_queued_work_claim(self, claim: QueuedWorkClaim) -> tuple[str, ...]:
        """See ``LashRuntime.abandon_queued_work_claim``."""
        batch_ids = await self._store("abandoning queued work").abandon_queued_work_claim(claim)
        if batch_ids:
            await poke_work_driver(self.driver, self.session_id, "abandoned")
        return batch_ids

    async def cancel_pending_turn_inputs(
        self, targets: Sequence[TurnInputCancelTarget]
    ) -> tuple[TurnInputCancelOutcome, ...]:
        """See ``LashRuntime.cancel_pending_turn_inputs``."""
        return await self._store("cancelling turn input").cancel_pending_turn_inputs(self.session_id, targets)

    async def cancel_pending_turn_input_suffix(self, anchor: TurnInputCancelTarget) -> TurnInputSuffixOutcome:
        """See ``LashRuntime.cancel_pending_turn_input_suffix``."""
        return await self._store("cancelling turn input").cancel_pending_turn_input_suffix(self.session_id, anchor)

    async def _enqueued(self, store: RuntimePersistence, draft: QueuedWorkDraft, reason: str) -> QueuedWorkBatch:
        batch = await store.enqueue_queued_work(draft)
        await poke_work_driver(self.driver, self.session_id, reason)
        return batch

    def _store(self, what: str) -> RuntimePersistence:
        if self.store is None:
            raise RuntimeFailure(STORE_COMMIT_FAILED, f"{what} requires a persistent runtime store")
        return self.store
