"""What a host asks of a session on its handle: queue, pending inputs, process handles.

``docs/contracts/sessions.md`` 2.10.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lash_core.errors import InvalidArgumentError, LashError, OutcomeUnknownError, RuntimeFailure
from lash_core.model.process_command import ProcessListMode
from lash_core.model.process_handle import process_handle_summary
from lash_core.model.queued_work import (
    DeliveryPolicy,
    QueuedWorkBatch,
    QueuedWorkClaim,
    QueuedWorkDraft,
    SlotPolicy,
    TurnInputPayload,
)
from lash_core.model.scope import SessionScope
from lash_core.model.turn_input import (
    TurnInput,
    TurnInputCancelOutcome,
    TurnInputCancelTarget,
    TurnInputSuffixOutcome,
)
from lash_core.runtime.turn_activities import poke_work_driver
from lash_core.store.runtime_persistence import RuntimePersistence

if TYPE_CHECKING:
    from lash_core.runtime.runtime_core import RuntimeCore

_log = logging.getLogger(__name__)

STORE_COMMIT_FAILED = "store_commit_failed"
QUEUED_TURN_INPUT = "queued_turn_input"
"""Why the work driver is poked."""


async def enqueue_turn_input(
    runtime: RuntimeCore,
    turn_input: TurnInput,
    delivery_policy: DeliveryPolicy,
    slot_policy: SlotPolicy,
    source_key: str | None,
) -> QueuedWorkBatch:
    """See ``LashRuntime.enqueue_turn_input``."""
    store = _queue_store(runtime, "queued turn input")
    if not turn_input.is_durable:
        raise InvalidArgumentError(
            "queued turn input cannot keep a live protocol extension or live inputs of plugins", field="input"
        )
    draft = QueuedWorkDraft(
        session_id=runtime.session_id,
        delivery_policy=delivery_policy,
        slot_policy=slot_policy,
        payloads=(TurnInputPayload(turn_input),),
        source_key=source_key,
    )
    batch = await store.enqueue_queued_work(draft)
    await poke_work_driver(runtime.host.queued_work_driver, runtime.session_id, QUEUED_TURN_INPUT)
    return batch


async def cancel_queued_work_batch(runtime: RuntimeCore, batch_id: str) -> QueuedWorkBatch | None:
    """See ``LashRuntime.cancel_queued_work_batch``."""
    store = _queue_store(runtime, "cancelling queued work")
    try:
        return await store.cancel_queued_work_batch(runtime.session_id, batch_id)
    except OutcomeUnknownError:
        raise
    except LashError as error:
        raise RuntimeFailure(STORE_COMMIT_FAILED, f"queued work could not be cancelled: {error}") from error


async def abandon_queued_work_claim(runtime: RuntimeCore, claim: QueuedWorkClaim) -> tuple[str, ...]:
    """See ``LashRuntime.abandon_queued_work_claim``."""
    batch_ids = await _queue_store(runtime, "abandoning queued work").abandon_queued_work_claim(claim)
    if batch_ids:
        await poke_work_driver(runtime.host.queued_work_driver, runtime.session_id, "abandoned")
    return batch_ids


async def cancel_pending_turn_inputs(
    runtime: RuntimeCore, targets: Sequence[TurnInputCancelTarget]
) -> tuple[TurnInputCancelOutcome, ...]:
    """See ``LashRuntime.cancel_pending_turn_inputs``."""
    store = _queue_store(runtime, "cancelling turn input")
    return await store.cancel_pending_turn_inputs(runtime.session_id, targets)


async def cancel_pending_turn_input_suffix(
    runtime: RuntimeCore, anchor: TurnInputCancelTarget
) -> TurnInputSuffixOutcome:
    """See ``LashRuntime.cancel_pending_turn_input_suffix``."""
    store = _queue_store(runtime, "cancelling turn input")
    return await store.cancel_pending_turn_input_suffix(runtime.session_id, anchor)


async def list_process_handles(runtime: RuntimeCore, mode: ProcessListMode) -> tuple[dict[str, Any], ...]:
    """See ``LashRuntime.list_process_handles``."""
    registry = runtime.host.process_registry
    if registry is None:
        return ()
    root = SessionScope(runtime.session_id)
    frame = SessionScope.for_agent_frame(runtime.session_id, runtime.state.current_agent_frame_id)
    found: dict[str, dict[str, Any]] = {}
    for scope in (root,) if frame == root else (root, frame):
        try:
            handles = await registry.list_handles(scope)
        except Exception:  # noqa: BLE001 - best effort, whatever a registry answers with: hosts only show them
            _log.warning("handles of session %s cannot be listed", runtime.session_id, exc_info=True)
            return ()
        for grant, record in handles:
            if mode is ProcessListMode.ALL or not record.is_terminal:
                found.setdefault(record.id, process_handle_summary(record, grant.descriptor))
    return tuple(summary for _, summary in sorted(found.items()))


def _queue_store(runtime: RuntimeCore, what: str) -> RuntimePersistence:
    if runtime.store is None:
        raise RuntimeFailure(STORE_COMMIT_FAILED, f"{what} requires a persistent runtime store")
    return runtime.store
