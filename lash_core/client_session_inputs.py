"""What a client sends to a session, checked."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.errors import InvalidArgumentError
from lash_core.model.turn_input import AttachmentInput, TextInput, TurnInput, TurnInputItem
from lash_core.store.attachment_store import AttachmentRef


def input_of(content: str | TurnInput, attachments: Sequence[AttachmentRef]) -> TurnInput:
    """What is sent. Raises: InvalidArgumentError: it is empty, or has live parts."""
    turn_input = TurnInput.text(content) if isinstance(content, str) else content
    items: list[TurnInputItem] = [
        item for item in turn_input.items if not isinstance(item, TextInput) or item.text.strip()
    ]
    items += [AttachmentInput(reference.to_json_value()) for reference in attachments]
    if not items:
        raise InvalidArgumentError("an input needs text or an attachment", field="content", value="")
    if not turn_input.is_durable:
        raise InvalidArgumentError("an input with live parts cannot be queued", field="content")
    return turn_input.model_copy(update={"items": tuple(items)})
