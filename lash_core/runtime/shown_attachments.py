"""Attachments that messages show: what a session's history must go on referring to.

``docs/contracts/attachments.md`` 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lash_core.model.message import AttachmentPart, Message
from lash_core.model.session_commit import GraphCommitDelta, GraphUnchanged
from lash_core.store.attachment_store import ATTACHMENT_FAMILY

_ADDRESS = re.compile(f"{ATTACHMENT_FAMILY}:sha256:[0-9a-f]{{64}}")


def attachment_ids(messages: Iterable[Message]) -> tuple[str, ...]:
    """The attachments that messages refer to, each once, in order."""
    found: dict[str, None] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, AttachmentPart) and isinstance(part.reference, dict):
                attachment_id = part.reference.get("attachment_id")
                if isinstance(attachment_id, str):
                    found[attachment_id] = None
    return tuple(found)


def attachments_shown_by(delta: GraphCommitDelta) -> tuple[str, ...]:
    """The attachments that a commit's nodes show; what is no address is no reference to anything."""
    if isinstance(delta, GraphUnchanged):
        return ()
    messages = (node.message for node in delta.nodes)
    shown = attachment_ids(message for message in messages if message is not None)
    return tuple(attachment_id for attachment_id in shown if _ADDRESS.fullmatch(attachment_id))
