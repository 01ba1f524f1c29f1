"""Which attachments a session refers to (``docs/contracts/attachments.md`` 3). Bytes are the attachment store's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from lash_core.errors import LimitExceededError
from lash_core.model.attachment import AttachmentIntent, AttachmentOwner, CommittedTurn
from lash_core.model.base import Model
from lash_core.model.disposition import DurabilityTier

SESSION_ATTACHMENTS_MAX = 10_000
"""References of one session or process: about 3 MB, read in one go at each commit of a turn."""


class SessionRefs(Model):
    """What one session refers to, and the last turn of it that committed.

    ``unreadable``: attachments whose reference this release cannot read; they count as committed.
    """

    session_id: str
    refs: tuple[AttachmentIntent, ...] = ()
    unreadable: tuple[str, ...] = ()
    last_turn: CommittedTurn | None = None


class SessionRefsPage(Model):
    """References of some sessions. ``next_cursor`` None = these were the last."""

    sessions: tuple[SessionRefs, ...] = ()
    next_cursor: str | None = None


@runtime_checkable
class AttachmentManifest(Protocol):
    """References by session. A process refers to attachments in its own session ``process-env:<pid>``."""

    def durability_tier(self) -> DurabilityTier:
        """What survives the loss of this OS process."""
        ...

    async def record_intent(
        self, session_id: str, attachment_id: str, *, owner: AttachmentOwner | None = None
    ) -> AttachmentIntent:
        """Note that a session is about to refer to an attachment; before its bytes are stored.

        A repeat takes the new owner and time and never erases a commit stamp. Atomic, safe to repeat.

        Raises:
            InvalidArgumentError: an id is not legal.
            LimitExceededError: the session has ``SESSION_ATTACHMENTS_MAX`` references.
        """
        ...

    async def commit_refs(
        self, session_id: str, owner: AttachmentOwner | None, attachment_ids: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Stamp the named references and every intent of ``owner``; returns the ids that got a stamp, sorted.

        Update-only: an id without a reference stays without one, and a stamp never changes. With a turn as owner the
        session notes that this turn has committed, so call it once for each turn that commits. Atomic.

        Raises:
            InvalidArgumentError: an id is not legal.
        """
        ...

    async def holds_ref(self, session_id: str, attachment_id: str) -> bool:
        """True when the session refers to the attachment, committed or not. Raises: InvalidArgumentError."""
        ...

    async def drop_ref(self, session_id: str, attachment_id: str) -> None:
        """Refer to it no more; none there is success. The bytes stay until the sweep. Raises: InvalidArgumentError."""
        ...

    async def list_refs(self, session_id: str) -> tuple[AttachmentIntent, ...]:
        """All references of a session by attachment id; at most ``SESSION_ATTACHMENTS_MAX``.

        Raises:
            CorruptRecordError, NewerRecordError: a reference that this release cannot read.
        """
        ...

    async def sessions_page(self, cursor: str | None, limit: int) -> SessionRefsPage:
        """Sessions that refer to something, about ``limit`` of them; a session may come twice, none is left out.

        Raises:
            InvalidCursorError.
        """
        ...


def too_many_refs(session_id: str, refs_max: int) -> LimitExceededError:
    """The error of a session that may not refer to more attachments."""
    return LimitExceededError(
        f"session `{session_id}` refers to {refs_max} attachments; the limit is {refs_max}",
        field="session_id",
        value=session_id,
        limit=refs_max,
    )
