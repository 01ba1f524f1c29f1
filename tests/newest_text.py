"""What model providers of tests go by: the newest thing that a person said."""

from __future__ import annotations

from lash_core.model.message import Message, ToolResultPart


def newest_text(messages: tuple[Message, ...]) -> tuple[str, int]:
    """The newest text of a user, and how many tool results came after it."""
    done = 0
    for message in reversed(messages):
        done += sum(isinstance(part, ToolResultPart) for part in message.parts)
        if message.role == "user" and message.text:
            return message.text, done
    return "", done
