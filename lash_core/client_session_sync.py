"""``SessionHandle`` whose verbs block."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from lash_core.client_loop_thread import LoopThread
from lash_core.client_session import CancelInputReceipt, ParkReceipt, SentInput, SessionFacts, SessionHandle
from lash_core.client_session_cancel import CancelTurnReceipt
from lash_core.model.message import Message
from lash_core.model.queued_work import DeliveryPolicy, MergeKey, QueuedWorkBatch, SlotPolicy
from lash_core.model.reports import SessionDeleteReport
from lash_core.model.session import SessionMeta, SessionPolicy
from lash_core.model.session_commit import PersistedSessionRead
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import SessionObservation, WatchItem
from lash_core.model.turn_input import TurnInput
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.background.task_views import SessionTasksView
from lash_core.runtime.observation.process_views import SessionProcesses
from lash_core.store.attachment_store import AttachmentData, AttachmentRef


@dataclass(frozen=True, slots=True)
class SyncSentInput:
    """See ``SentInput``."""

    sent: SentInput
    thread: LoopThread

    @property
    def batch_id(self) -> str:
        """See ``SentInput.batch_id``."""
        return self.sent.batch_id

    @property
    def batch(self) -> QueuedWorkBatch:
        """The batch."""
        return self.sent.batch

    def answer(self, timeout: float | None = None) -> AssembledTurn:
        """See ``SentInput.answer``."""
        return self.thread.call(self.sent.answer(timeout))


class SyncSessionHandle:
    """See ``SessionHandle``."""

    def __init__(self, handle: SessionHandle, thread: LoopThread) -> None:
        self._handle = handle
        self._thread = thread

    def __repr__(self) -> str:
        return f"SyncSessionHandle({self.session_id!r})"

    @property
    def session_id(self) -> str:
        """The id."""
        return self._handle.session_id

    def create(self, policy: SessionPolicy | None = None) -> SessionMeta:
        """See ``SessionHandle.create``."""
        return self._thread.call(self._handle.create(policy))

    def exists(self) -> bool:
        """See ``SessionHandle.exists``."""
        return self._thread.call(self._handle.exists())

    def get(self) -> SessionFacts:
        """See ``SessionHandle.get``."""
        return self._thread.call(self._handle.get())

    def park(self, timeout: float | None = None) -> ParkReceipt:
        """See ``SessionHandle.park``."""
        return self._thread.call(self._handle.park(timeout))

    def delete(self) -> SessionDeleteReport:
        """See ``SessionHandle.delete``."""
        return self._thread.call(self._handle.delete())

    def attach(
        self, data: AttachmentData, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """See ``SessionHandle.attach``."""
        return self._thread.call(self._handle.attach(data, media_type=media_type, name=name))

    def send(
        self,
        content: str | TurnInput,
        *,
        attachments: Sequence[AttachmentRef] = (),
        source_key: str | None = None,
        delivery_policy: DeliveryPolicy = DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy: SlotPolicy = SlotPolicy.JOIN,
        merge_key: MergeKey | None = None,
        available_at_ms: int = 0,
    ) -> SyncSentInput:
        """See ``SessionHandle.send``."""
        sent = self._handle.send(
            content,
            attachments=attachments,
            source_key=source_key,
            delivery_policy=delivery_policy,
            slot_policy=slot_policy,
            merge_key=merge_key,
            available_at_ms=available_at_ms,
        )
        return SyncSentInput(self._thread.call(sent), self._thread)

    def answer(self, batch_id: str, timeout: float | None = None) -> AssembledTurn:
        """See ``SessionHandle.answer``."""
        return self._thread.call(self._handle.answer(batch_id, timeout))

    def queue(self) -> tuple[QueuedWorkBatch, ...]:
        """See ``SessionHandle.queue``."""
        return self._thread.call(self._handle.queue())

    def cancel_input(self, input_id: str) -> CancelInputReceipt:
        """See ``SessionHandle.cancel_input``."""
        return self._thread.call(self._handle.cancel_input(input_id))

    def cancel_turn(
        self, turn_id: str | None = None, *, reason: str | None = None, request_id: str | None = None
    ) -> CancelTurnReceipt:
        """See ``SessionHandle.cancel_turn``."""
        return self._thread.call(self._handle.cancel_turn(turn_id, reason=reason, request_id=request_id))

    def observation(self) -> SessionObservation:
        """See ``SessionHandle.observation``."""
        return self._thread.call(self._handle.observation())

    def watch(self, cursor: SessionCursor | str | None = None) -> Generator[WatchItem]:
        """See ``SessionHandle.watch``. Each step blocks until there is an item; ``close`` it."""
        return self._thread.iterate(self._handle.watch(cursor))

    def history(self, limit: int | None = None) -> tuple[Message, ...]:
        """See ``SessionHandle.history``."""
        return self._thread.call(self._handle.history(limit))

    def load(self, *, full_graph: bool = False) -> PersistedSessionRead | None:
        """See ``SessionHandle.load``."""
        return self._thread.call(self._handle.load(full_graph=full_graph))

    def processes(self, *, live_only: bool = False, limit: int = 50, events: int = 5) -> SessionProcesses:
        """See ``SessionHandle.processes``."""
        return self._thread.call(self._handle.processes(live_only=live_only, limit=limit, events=events))

    def tasks(self, *, live_only: bool = False, limit: int = 50) -> SessionTasksView:
        """See ``SessionHandle.tasks``."""
        return self._thread.call(self._handle.tasks(live_only=live_only, limit=limit))
