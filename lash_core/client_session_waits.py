"""Waiting for a session to change, and what is sent to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from lash_core.errors import InvalidArgumentError
from lash_core.model.turn_input import AttachmentInput, TextInput, TurnInput, TurnInputItem
from lash_core.store.attachment_store import AttachmentRef

_POLL_FIRST_MS = 25
_POLL_MAX_MS = 1_000
"""Behind the notices: prompt at first, one read a second for an answer that takes long."""


async def turns_of_a_wait(heard: asyncio.Event, *, only_one: bool) -> AsyncGenerator[None]:
    """One turn at once, then one with each notice, and now and then without. Raises: TimeoutError: ``only_one``."""
    pause_ms = _POLL_FIRST_MS
    while True:
        heard.clear()
        yield
        if only_one:
            raise TimeoutError
        try:
            async with asyncio.timeout(pause_ms / 1_000):
                await heard.wait()
            pause_ms = _POLL_FIRST_MS
        except TimeoutError:
            pause_ms = min(2 * pause_ms, _POLL_MAX_MS)


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
