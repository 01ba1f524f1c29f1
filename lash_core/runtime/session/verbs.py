"""What a host asks of a session on its handle (``docs/contracts/sessions.md`` 2.10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lash_core.model.process_command import ProcessListMode
from lash_core.model.queued_work import (
    DeliveryPolicy,
    QueuedWorkBatch,
    QueuedWorkClaim,
    SlotPolicy,
)
from lash_core.model.scope import CausalRef
from lash_core.model.session_node import NodePayload, SessionNodeRecord
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.turn_input import (
    TurnInput,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputSuffixOutcome,
)
from lash_core.runtime.runtime_core import RuntimeCore
from lash_core.runtime.session import edits as session_edits
from lash_core.runtime.session.process_handles import list_process_handles
from lash_core.runtime.session.session_queue import SessionQueue


class SessionVerbs(RuntimeCore):
    """Edits of the session, its queue, its process handles."""

    # -- edits (``docs/contracts/sessions.md`` 2.10) ---------------------------------------------------

    async def set_persisted_state(self, state: RuntimeSessionState) -> None:
        """Put another state of this session in the place of the one in memory: healed, tools and plugins restored.

        It is stored by the next commit, unless somebody else stores something before: then that is the session. Its
        revision does not count: this runtime knows where the store is. ``state`` becomes the runtime's own.

        Raises:
            SessionError: it is another session's. PluginSessionError: a plugin refuses its state.
        """
        await session_edits.set_persisted_state(self, state)

    async def branch_to_node(self, node_id: str) -> None:
        """Stand on another node of the history; what was said after it stays, as orphans. Stored at once.

        Raises:
            InvalidArgumentError: no such node. SessionBusyError: somebody else, or a turn, has the session.
        """
        await session_edits.branch_to_node(self, node_id)

    async def append_session_nodes(
        self,
        payloads: Sequence[NodePayload],
        *,
        requires_ancestor: str | None = None,
        caused_by: CausalRef | None = None,
    ) -> tuple[SessionNodeRecord, ...]:
        """Append to the newest state of the history, in order. Stored at once, all or nothing.

        Raises:
            StaleBranchError: ``requires_ancestor`` is not on the active path any more.
            SessionBusyError: somebody else, or a turn, has the session.
        """
        return await session_edits.append_session_nodes(
            self, payloads, requires_ancestor=requires_ancestor, caused_by=caused_by
        )

    async def compact_session(self) -> bool:
        """Let the first compactor with an answer sum the current frame up; the model goes on from that, in a new frame.

        History stays. Stored at once. False: no plugin had an answer, nothing is changed.

        Raises:
            SessionBusyError: somebody else, or a turn, has the session.
        """
        return await session_edits.compact_session(self)

    async def update_session_config(self, **changes: Any) -> bool:
        """Change fields of the session's policy. Stored at once; plugins are told of an actual change, once.

        Returns:
            False when nothing changed by it.

        Raises:
            InvalidArgumentError: an unknown field, or a value that a policy cannot have; a policy without a model.
            SessionBusyError: somebody else, or a turn, has the session.
        """
        return await session_edits.update_session_config(self, changes)

    # -- queue and handles (``docs/contracts/sessions.md`` 2.10) ---------------------------------------

    async def enqueue_turn_input(
        self,
        turn_input: TurnInput,
        delivery_policy: DeliveryPolicy = DeliveryPolicy.EARLIEST_SAFE_BOUNDARY,
        slot_policy: SlotPolicy = SlotPolicy.JOIN,
        source_key: str | None = None,
    ) -> QueuedWorkBatch:
        """Queue an input and poke who works queues off. With a source key it is safe to repeat.

        Raises:
            RuntimeFailure: ``store_commit_failed``: there is no store. InvalidArgumentError: live parts.
        """
        return await SessionQueue.of_runtime(self).enqueue_turn_input(
            turn_input, delivery_policy, slot_policy, source_key
        )

    async def cancel_queued_work_batch(self, batch_id: str) -> QueuedWorkBatch | None:
        """Take a batch out of the queue; None: it is not there, or a turn has it.

        Raises:
            RuntimeFailure: ``store_commit_failed``.
        """
        return await SessionQueue.of_runtime(self).cancel_queued_work_batch(self.session_id, batch_id)

    async def abandon_queued_work_claim(self, claim: QueuedWorkClaim) -> tuple[str, ...]:
        """Give claimed rows back; answers their batch ids."""
        return await SessionQueue.of_runtime(self).abandon_queued_work_claim(claim)

    async def cancel_pending_turn_input(self, target: TurnInputCancelTarget) -> TurnInputCancelOutcome:
        """Cancel one pending input."""
        return (await self.cancel_pending_turn_inputs((target,)))[0]

    async def cancel_pending_turn_inputs(
        self, targets: Sequence[TurnInputCancelTarget]
    ) -> tuple[TurnInputCancelOutcome, ...]:
        """Cancel pending inputs: one outcome a target, in order."""
        return await SessionQueue.of_runtime(self).cancel_pending_turn_inputs(targets)

    async def cancel_pending_turn_input_suffix(self, anchor: TurnInputCancelTarget) -> TurnInputSuffixOutcome:
        """Cancel a pending input and every later one."""
        return await SessionQueue.of_runtime(self).cancel_pending_turn_input_suffix(anchor)

    async def list_process_handles(self, mode: ProcessListMode = ProcessListMode.LIVE) -> tuple[dict[str, Any], ...]:
        """Handles of the session and of its current frame, by process id; none where they cannot be listed."""
        frame_id = self.state.current_agent_frame_id
        return await list_process_handles(self.host.process_registry, self.session_id, frame_id, mode)
