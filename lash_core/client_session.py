"""A handle on one session: send, answers, history, queue, delete (``docs/contracts/session_fleet.md`` 1 to 3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lash_core.client_enqueue import new_process_id
from lash_core.client_process_views import SessionProcessReads
from lash_core.client_session_answers import find_answer
from lash_core.client_session_cancel import CancelTurnReceipt, cancel_turn
from lash_core.client_session_inputs import input_of
from lash_core.client_session_records import CancelInputOutcome, CancelInputReceipt, ParkReceipt, SessionFacts
from lash_core.client_session_tasks import SessionTaskReads
from lash_core.client_session_waits import turns_of_a_wait
from lash_core.client_session_watch import tell_queue_changed
from lash_core.errors import InvalidArgumentError, UnknownSessionError
from lash_core.model.attachment import AttachmentOwner
from lash_core.model.ids import check_id
from lash_core.model.message import Message
from lash_core.model.queued_work import (
    DeliveryPolicy,
    MergeKey,
    QueuedWorkBatch,
    QueuedWorkDraft,
    SlotPolicy,
    TurnInputPayload,
)
from lash_core.model.reports import SessionDeleteReport
from lash_core.model.session import SessionMeta, SessionPolicy, SessionStoreCreateRequest
from lash_core.model.session_commit import ActivePath, FullGraph, PersistedSessionRead
from lash_core.model.session_cursor import SessionCursor
from lash_core.model.session_observation import SessionObservation, SessionQueueEventKind, WatchItem
from lash_core.model.turn_input import TurnInput, TurnInputCancelTarget
from lash_core.model.turn_outcome import AssembledTurn
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.observation.session_observer import SessionObserver
from lash_core.store.attachment_store import AttachmentData, AttachmentRef
from lash_core.store.client_stores import ClientStores
from lash_core.store.runtime_persistence import RuntimePersistence


@dataclass(frozen=True, slots=True)
class SentInput:
    """An input on its way to a turn."""

    session: SessionHandle
    batch: QueuedWorkBatch

    @property
    def batch_id(self) -> str:
        """The batch; its user message has the id ``m_batch_<batch id>``."""
        return self.batch.batch_id

    async def answer(self, timeout: float | None = None) -> AssembledTurn:  # noqa: ASYNC109 - the design's name
        """Wait for the turn that answers it; see ``SessionHandle.answer``."""
        return await self.session.answer(self.batch_id, timeout)


class SessionHandle(SessionProcessReads, SessionTaskReads):
    """One session. Cheap to make; any number may name the same one. It holds an id and a store, never state."""

    def __init__(self, stores: ClientStores, session_id: str) -> None:
        self._stores = stores
        self.session_id = check_id(session_id, field="session_id", subject="session id")
        self._opened: RuntimePersistence | None = None

    def __repr__(self) -> str:
        return f"SessionHandle({self.session_id!r})"

    # -- the session itself ----------------------------------------------------------------------------

    async def create(self, policy: SessionPolicy | None = None) -> SessionMeta:
        """Make the session if it is not there, and answer its meta. Safe to repeat: what is there stays.

        The policy is noted by its model's name only; how the session runs is up to the worker's app until its first
        commit.

        Raises:
            InvalidArgumentError: the id is not legal.
        """
        await self._create(policy)
        return await self._meta()

    async def exists(self) -> bool:
        """True when there is such a session."""
        return await self._stores.session_store_factory.open_existing_store(self.session_id) is not None

    async def get(self) -> SessionFacts:
        """Everything at once. Raises: UnknownSessionError."""
        store = await self._store()
        meta, read, queue, inputs, lease = await asyncio.gather(
            self._meta(),
            store.load_session(ActivePath()),
            store.list_queued_work(self.session_id),
            store.list_pending_turn_inputs(self.session_id),
            store.get_session_execution_lease(self.session_id),
        )
        return SessionFacts(meta, read, queue, inputs, lease)

    async def park(self, timeout: float | None = None) -> ParkReceipt:  # noqa: ASYNC109 - the design's name
        """Wait until no worker has the session in memory: its turn, if one runs, is committed.

        Workers keep no session between turns, so there is nothing to ask of them; a queue that is not empty is worked
        off first.

        Args:
            timeout: seconds; None waits for ever, 0 only looks.

        Raises:
            UnknownSessionError. TimeoutError: a turn still runs, or work waits.
        """
        store = await self._store()
        async with self._changes(timeout, "still runs a turn, or has inputs waiting,") as changes:
            async for _ in changes:
                lease, queue = await asyncio.gather(
                    store.get_session_execution_lease(self.session_id), store.list_queued_work(self.session_id)
                )
                if lease is None and not queue:
                    break
        return await self._parked(store)

    async def delete(self) -> SessionDeleteReport:
        """Delete the session and its side of processes. Processes go on: the report names those that run.

        A turn that runs can commit nothing any more. Safe to repeat; a second call reports nothing.

        Returns:
            ``orphaned_process_ids``: nobody has a handle on them any more; ``preserved_process_ids``: others have.

        Raises:
            UnknownSessionError: no such session, and nothing of it was left.
        """
        existed = await self.exists()
        await self._stores.session_store_factory.delete_session(self.session_id)
        report = await self._stores.process_registry.delete_session_process_state(self.session_id)
        self._opened = None
        if not existed and not report.revoked_handle_count and not report.deleted_wake_count:
            raise UnknownSessionError(self.session_id)
        return report

    # -- input ------------------------------------------------------------------------------------------

    async def attach(
        self, data: AttachmentData, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Store bytes for the session, to be named in an input. The session is made if it is not there.

        Raises:
            LimitExceededError: over the store's bound; nothing was stored, and no session made.
        """
        attachments = SessionAttachments(
            self.session_id,
            self._stores.attachments,
            self._stores.attachment_manifest,
            owner=AttachmentOwner.turn(f"t_{new_process_id()}"),
        )
        # Read to its end first: no session is made for what is refused.
        staged = await self._stores.attachments.stage(data)
        try:
            await self._create()
        except BaseException:
            await staged.discard()
            raise
        return await attachments.put_staged(staged, media_type=media_type, name=name)

    async def send(
        self,
        content: str | TurnInput,
        *,
        attachments: Sequence[AttachmentRef] = (),
        source_key: str | None = None,
        delivery_policy: DeliveryPolicy = DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy: SlotPolicy = SlotPolicy.JOIN,
        merge_key: MergeKey | None = None,
        available_at_ms: int = 0,
    ) -> SentInput:
        """Put an input into the session's queue; a worker answers it. The session is made if it is not there.

        Args:
            content: text, or a whole input.
            attachments: from ``attach``; they come after the text.
            source_key: a key of the caller's: the same one again answers with the first batch and sends nothing, also
                long after it was answered. A fresh one by default, so that the call itself survives a lost reply.
            delivery_policy: at the next safe boundary of a running turn (default), or after that turn.
            slot_policy: ``join`` (default) shares a turn with its neighbours of the same merge key.
            merge_key: which neighbours.
            available_at_ms: not before this time, ms since the epoch by the server's clock.

        Raises:
            InvalidArgumentError: an empty input, or one with live parts. LimitExceededError: too large, or the queue is
                full. OutcomeUnknownError: the reply was lost; repeat with the same ``source_key``.
        """
        turn_input = input_of(content, attachments)
        draft = QueuedWorkDraft(
            session_id=self.session_id,
            delivery_policy=delivery_policy,
            slot_policy=slot_policy,
            payloads=(TurnInputPayload(turn_input),),
            merge_key=merge_key or MergeKey(),
            available_at_ms=available_at_ms,
            source_key=f"send:{new_process_id()}" if source_key is None else source_key,
        )
        store = self._opened or await self._create()
        try:
            batch = await store.enqueue_queued_work(draft)
        except UnknownSessionError:
            # Deleted since this handle saw it: an input to a session that is not there begins a new one.
            batch = await (await self._create()).enqueue_queued_work(draft)
        await self._tell_queue(SessionQueueEventKind.ENQUEUED, batch.batch_id)
        return SentInput(self, batch)

    async def answer(
        self,
        batch_id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the design's name
    ) -> AssembledTurn:
        """Wait for the committed turn that took a batch in, and return it: finished, or stopped for a reason.

        Args:
            batch_id: of ``send``, or of ``queue``.
            timeout: seconds; None waits for ever, 0 only looks.

        Raises:
            UnknownSessionError: no such session, or it was deleted meanwhile. InputNotFoundError: the session has no
                such batch: it was cancelled, or never there. TimeoutError: not answered yet.
        """
        store = await self._store()
        found: AssembledTurn | None = None
        async with self._changes(timeout, f"has not answered `{batch_id}`") as changes:
            async for _ in changes:
                found = await find_answer(store, self.session_id, batch_id)
                if found is not None:
                    break
        if found is None:
            raise RuntimeError(f"session `{self.session_id}`: the wait for `{batch_id}` ended without an answer")
        return found

    async def queue(self) -> tuple[QueuedWorkBatch, ...]:
        """What is not settled, claimed or not, in its order. Raises: UnknownSessionError."""
        return await (await self._store()).list_queued_work(self.session_id)

    async def cancel_input(self, input_id: str) -> CancelInputReceipt:
        """Take an input back that no turn has taken in: a batch id of ``send``, or the id of a pending turn input.

        Raises:
            UnknownSessionError.
        """
        store = await self._store()
        if await store.cancel_queued_work_batch(self.session_id, input_id) is not None:
            await self._tell_queue(SessionQueueEventKind.CANCELLED, input_id)
            return CancelInputReceipt(session_id=self.session_id, input_id=input_id, outcome="cancelled")
        target = TurnInputCancelTarget(input_id=input_id)
        outcome: CancelInputOutcome = (await store.cancel_pending_turn_inputs(self.session_id, [target]))[0].outcome
        if outcome == "not_found":
            outcome = await self._batch_state(store, input_id)
        return CancelInputReceipt(session_id=self.session_id, input_id=input_id, outcome=outcome)

    async def cancel_turn(
        self, turn_id: str | None = None, *, reason: str | None = None, request_id: str | None = None
    ) -> CancelTurnReceipt:
        """Ask for the cancel of the turn that is open, or of another one; see ``client_session_cancel.cancel_turn``.

        Raises:
            UnknownSessionError. OutcomeUnknownError: ask again with the same ``request_id``.
        """
        return await cancel_turn(self._stores, self.session_id, turn_id=turn_id, reason=reason, request_id=request_id)

    # -- watching ---------------------------------------------------------------------------------------

    @property
    def _observer(self) -> SessionObserver:
        """Observations and events of the session."""
        return SessionObserver(self.session_id, self._stores)

    async def observation(self) -> SessionObservation:
        """The whole session, and the cursor to go on from. Raises: UnknownSessionError, store errors."""
        return await self._observer.current_session_observation()

    def watch(self, cursor: SessionCursor | str | None = None) -> AsyncGenerator[WatchItem]:
        """Follow the session as it is worked on, from anywhere; see ``SessionObserver.watch``.

        ``WatchedSession`` says what the items say together, ``WatchJson`` makes them JSON.

        Raises:
            SessionCursorError: at once.
        """
        return self._observer.watch(cursor)

    # -- history ------------------------------------------------------------------------------------------

    async def history(self, limit: int | None = None) -> tuple[Message, ...]:
        """The messages of the active path, oldest first; with ``limit`` the newest so many.

        Raises:
            UnknownSessionError. InvalidArgumentError: a limit below 1.
        """
        if limit is not None and limit < 1:
            raise InvalidArgumentError(f"limit is {limit}; it must be at least 1", field="limit", value=limit, limit=1)
        read = await self.load()
        messages = () if read is None else read.graph.read_model().messages
        return messages if limit is None else messages[-limit:]

    async def load(self, *, full_graph: bool = False) -> PersistedSessionRead | None:
        """The session as stored, its active path or all nodes; None before the first commit.

        Raises:
            UnknownSessionError.
        """
        return await (await self._store()).load_session(FullGraph() if full_graph else ActivePath())

    # -- inside ---------------------------------------------------------------------------------------------

    async def _create(self, policy: SessionPolicy | None = None) -> RuntimePersistence:
        request = SessionStoreCreateRequest(self.session_id, policy=policy or SessionPolicy())
        self._opened = await self._stores.session_store_factory.create_store(request)
        return self._opened

    async def _store(self) -> RuntimePersistence:
        if self._opened is None:
            self._opened = await self._stores.session_store_factory.open_existing_store(self.session_id)
        if self._opened is None:
            raise UnknownSessionError(self.session_id)
        return self._opened

    async def _meta(self) -> SessionMeta:
        meta = await (await self._store()).load_session_meta()
        if meta is None:
            self._opened = None
            raise UnknownSessionError(self.session_id)
        return meta

    async def _tell_queue(self, kind: SessionQueueEventKind, batch_id: str) -> None:
        await tell_queue_changed(self._stores, self.session_id, kind, (batch_id,))

    async def _parked(self, store: RuntimePersistence) -> ParkReceipt:
        read = await store.load_session(ActivePath())
        queue = await store.list_queued_work(self.session_id)
        revision = 0 if read is None else read.head_revision
        return ParkReceipt(session_id=self.session_id, head_revision=revision, queued=len(queue))

    async def _batch_state(self, store: RuntimePersistence, batch_id: str) -> CancelInputOutcome:
        if any(batch.batch_id == batch_id for batch in await store.list_queued_work(self.session_id)):
            return "already_claimed"
        return "already_completed" if await store.load_node(message_id_of(batch_id)) is not None else "not_found"

    @asynccontextmanager
    async def _changes(
        self,
        timeout: float | None,  # noqa: ASYNC109 - as its callers
        text: str,
    ) -> AsyncGenerator[AsyncGenerator[None]]:
        """Turns of a wait: one at once, then one with each notice, and now and then without."""
        try:
            async with asyncio.timeout(None if timeout == 0 else timeout):
                async with self._stores.session_notices.listening(self.session_id) as heard:
                    yield turns_of_a_wait(heard, only_one=timeout == 0)
        except TimeoutError as error:
            waited = f" after {timeout:g} s" if timeout else ""
            raise TimeoutError(f"session `{self.session_id}` {text}{waited}") from error


def message_id_of(batch_id: str) -> str:
    """The id of the user message of a batch (decision 19)."""
    return f"m_batch_{batch_id}"
