"""What happens to a turn before its machine: input, transforms, what plugins say.

``docs/contracts/sessions.md`` 3.2.
"""

from __future__ import annotations

from typing import Any

from lash_core.errors import InvalidArgumentError
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.message import Message, ToolResultPart
from lash_core.model.session_state import SessionReadView
from lash_core.model.turn_activity import TurnEvent
from lash_core.model.turn_outcome import StoppedOutcome, StopReason, TurnIssue
from lash_core.protocols.turn_machine import Finish, TurnStart
from lash_core.runtime.attachments import SessionAttachments
from lash_core.runtime.cancellation import CancellationToken
from lash_core.runtime.plugin.hooks import BeforeTurn, PluginTurn, TurnAbort
from lash_core.runtime.shown_attachments import attachment_ids
from lash_core.runtime.turn_context import TurnContext
from lash_core.runtime.turns.turn_at_work import TurnAtWork
from lash_core.runtime.turns.turn_commit import commit_progress
from lash_core.runtime.turns.turn_messages import causes_of_batches
from lash_core.store.attachment_store import AttachmentNotFoundError


async def begin_turn(turn: TurnAtWork, hurry: CancellationToken) -> TurnStart | Finish:
    """Append what the turn is given and what plugins inject. ``Finish``: it is stopped before its machine.

    Args:
        turn: that begins.
        hurry: once it fires, plugins are not waited for any more.

    Raises:
        SessionLeaseLostError, store errors: the turn ends without a commit.
    """
    given, draft, hooks = turn.given, turn.draft, turn.runtime.plugins.hooks
    if given.batches:
        facts: dict[str, Any] = {
            "boundary": "idle",
            "batch_ids": list(given.batch_ids),
            "causes": causes_of_batches(given.batches),
        }
        await turn.scope.send(turn.turn_id, TurnEvent("queued_work_started", facts))
    view = SessionReadView.from_persisted_state(draft)
    history = draft.frame_read_model(draft.current_agent_frame_id).messages
    try:
        messages = given.messages()
        await _require_attachments(turn, messages)
    except (InvalidArgumentError, AttachmentNotFoundError) as error:
        issue = TurnIssue(kind="input", code=error.code, message=error.message, retryable=False)
        return stopped("invalid_input", issue)
    if given.protocol_turn_options is not None:
        _set_options(turn)
    for message in messages:
        turn.append(message)
    if given.refusal is not None:
        return stopped("runtime_error", given.refusal)
    turn.prefix = await hooks.context_transforms((*history, *messages), hurry)
    turn.own_from = len(messages)
    said = await _before_turn(turn, messages, view, hurry)
    for message in said.messages:
        turn.append(message)
    start = TurnStart(
        turn_id=turn.turn_id,
        messages=(*messages, *said.messages),
        last_message_is_tool_result=bool(history) and any(isinstance(p, ToolResultPart) for p in history[-1].parts),
        max_turns=draft.effective_policy().max_turns,
        options=draft.protocol_turn_options,
    )
    if said.abort is not None:
        issue = TurnIssue(kind="plugin", code=said.abort.code, message=said.abort.message)
        return stopped("plugin_abort", issue)
    await commit_progress(turn)
    return start


async def _require_attachments(turn: TurnAtWork, messages: tuple[Message, ...]) -> None:
    """A session reads what it refers to, and nothing else: knowing an address is not enough.

    Raises:
        AttachmentNotFoundError, InvalidArgumentError.
    """
    attachments = turn.runtime.attachments
    if isinstance(attachments, SessionAttachments):
        for attachment_id in attachment_ids(messages):
            if not await attachments.holds(attachment_id):
                raise AttachmentNotFoundError(attachment_id)


async def _before_turn(
    turn: TurnAtWork, messages: tuple[Message, ...], view: SessionReadView, hurry: CancellationToken
) -> BeforeTurn:
    """What plugins say, recorded: a redo hears the same. Silence is not recorded, and is kept while a replay lasts."""
    envelope = turn.scope.envelope("before_turn", EffectKind.DURABLE_STEP, {"step_id": "before_turn"})
    journal = turn.journal
    if journal is not None:
        await journal.load()
        if journal.find(envelope.replay_key) is None and journal.is_replaying:
            return BeforeTurn()
    given = turn.given.input
    context = given.turn_context if given is not None and isinstance(given.turn_context, TurnContext) else TurnContext()
    asked = PluginTurn(
        turn.draft.session_id,
        turn.turn_id,
        turn.draft.turn_index,
        messages=messages,
        read_view=view,
        turn_context=context,
    )
    said = BeforeTurn()
    if journal is None or journal.find(envelope.replay_key) is None:
        said = await turn.runtime.plugins.hooks.before_turn(asked, hurry)
        if not said.messages and said.abort is None:
            return said
    fresh = tuple(
        message if message.id.strip() else message.model_copy(update={"id": f"m_{turn.turn_id}_before_{index}"})
        for index, message in enumerate(said.messages)
    )

    async def execute(effect: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        abort = None if said.abort is None else [said.abort.message, said.abort.code, said.abort.plugin_id]
        value = {"messages": [message.to_json_value() for message in fresh], "abort": abort}
        return RuntimeEffectOutcome(effect.kind, value)

    value: Any = (await turn.scope.effects.execute_effect(envelope, execute)).value
    return BeforeTurn(
        tuple(Message.model_validate(message) for message in value["messages"]),
        None if value["abort"] is None else TurnAbort(*value["abort"]),
    )


def _set_options(turn: TurnAtWork) -> None:
    """Options of an input hold for its turn and the frame's later ones."""
    options = turn.given.protocol_turn_options
    turn.draft.protocol_turn_options = options
    frame = turn.draft.current_agent_frame()
    if frame is not None:
        turn.draft.set_frame(frame.model_copy(update={"protocol_turn_options": options}))


def stopped(reason: StopReason, issue: TurnIssue) -> Finish:
    """The end of a turn that no machine ended."""
    return Finish(f"stopped:{reason}", StoppedOutcome(reason), (issue,))
