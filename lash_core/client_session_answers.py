"""Finding the turn that answered a batch (``docs/contracts/session_fleet.md`` 2)."""

from __future__ import annotations

from pydantic import ValidationError

from lash_core.errors import CorruptRecordError, UnknownSessionError
from lash_core.errors.session import InputNotFoundError
from lash_core.model.session_commit import ActivePath, TurnStampRecord
from lash_core.model.session_node import SessionNodeRecord
from lash_core.model.turn_outcome import (
    AgentFrameSwitchOutcome,
    AssembledTurn,
    AssistantMessageFinish,
    AssistantOutput,
    FinishedOutcome,
)
from lash_core.store.runtime_persistence import RuntimePersistence

FRAMES_MAX = 16
"""Physical turns of one logical turn (``docs/contracts/sessions.md`` 3.1)."""


async def find_answer(store: RuntimePersistence, session_id: str, batch_id: str) -> AssembledTurn | None:
    """The committed turn that took the batch in, or None while it waits or runs.

    A turn that switched frames is followed to the one that ended.

    Raises:
        InputNotFoundError: the session has no such batch. UnknownSessionError: it was deleted.
    """
    node = await store.load_node(f"m_batch_{batch_id}")
    if node is None and not await _waits(store, session_id, batch_id):
        # The commit may have come between the two reads.
        node = await store.load_node(f"m_batch_{batch_id}")
        if node is None:
            if await store.load_session_meta() is None:
                raise UnknownSessionError(session_id)
            raise InputNotFoundError(session_id, batch_id)
    if node is None:
        return None
    turn_id = f"t_{batch_id}" if node.caused_by is None else node.caused_by.turn_id or f"t_{batch_id}"
    stamp = await store.find_turn_stamp(session_id, turn_id)
    if stamp is None:
        # Not committed yet, only its messages are; or the turn is older than the stamps that are kept.
        return None if await _waits(store, session_id, batch_id) else await _from_history(store, session_id, node)
    return await _ended(store, session_id, stamp, node)


async def _waits(store: RuntimePersistence, session_id: str, batch_id: str) -> bool:
    return any(batch.batch_id == batch_id for batch in await store.list_queued_work(session_id))


async def _ended(
    store: RuntimePersistence, session_id: str, stamp: TurnStampRecord, asked: SessionNodeRecord
) -> AssembledTurn | None:
    root = stamp.turn_id
    for number in range(1, FRAMES_MAX + 1):
        if stamp.turn_result is None:
            # Results are kept for the newest turns only.
            return await _from_history(store, session_id, asked)
        turn = _turn_of(session_id, stamp)
        if not isinstance(turn.outcome, AgentFrameSwitchOutcome):
            return turn
        following = await store.find_turn_stamp(session_id, f"{root}:agent-frame:{number}")
        if following is None:
            return None
        stamp = following
    return _turn_of(session_id, stamp)


def _turn_of(session_id: str, stamp: TurnStampRecord) -> AssembledTurn:
    try:
        turn = AssembledTurn.model_validate(stamp.turn_result)
    except ValidationError as error:
        raise CorruptRecordError(
            f"session `{session_id}`: the result of turn `{stamp.turn_id}` cannot be decoded: "
            f"{error.errors()[0]['msg']}",
            key=stamp.turn_id,
        ) from error
    # The result was written with the commit that made the revision.
    return turn.model_copy(update={"session_revision": stamp.result.head_revision})


async def _from_history(store: RuntimePersistence, session_id: str, asked: SessionNodeRecord) -> AssembledTurn:
    """What the history still says of a turn whose stamp is gone: the prose between this input and the next one."""
    read = await store.load_session(ActivePath())
    nodes = () if read is None else read.nodes
    names = [node.node_id for node in nodes]
    after = nodes[names.index(asked.node_id) + 1 :] if asked.node_id in names else ()
    texts: list[str] = []
    for node in after:
        if node.message is None:
            continue
        if node.message.role == "user" and node.message.text:
            break
        if node.message.role == "assistant" and node.message.text:
            texts.append(node.message.text)
    final = texts[-1] if texts else ""
    return AssembledTurn(
        session_id=session_id,
        turn_id=(asked.caused_by.turn_id if asked.caused_by else None) or "",
        outcome=FinishedOutcome(AssistantMessageFinish(final)),
        assistant_output=AssistantOutput(
            safe_text=final, raw_text="\n".join(texts), state="usable" if final else "empty_output"
        ),
        session_revision=None if read is None else read.head_revision,
    )
