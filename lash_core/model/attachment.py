"""References of attachments: who needs which bytes, and until when (``docs/contracts/attachments.md`` 1)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from lash_core.model.base import Model
from lash_core.model.ids import check_id


class AttachmentOwnerKind(StrEnum):
    """What an attachment came in with."""

    TURN = "turn"
    """A turn of the session; its commit stamps the reference."""
    PROCESS = "process"
    """A process; the reference counts as long as its row is there."""


class AttachmentOwner(Model):
    """Who brought an attachment in and has not committed it yet."""

    kind: AttachmentOwnerKind = Field(kw_only=False)
    id: str = Field(kw_only=False)

    @classmethod
    def turn(cls, turn_id: str) -> AttachmentOwner:
        """A turn of the session."""
        return cls(AttachmentOwnerKind.TURN, turn_id)

    @classmethod
    def process(cls, process_id: str) -> AttachmentOwner:
        """A process."""
        return cls(AttachmentOwnerKind.PROCESS, process_id)

    def validated(self) -> AttachmentOwner:
        """Return self when the id is a legal one.

        Raises:
            InvalidArgumentError.
        """
        check_id(self.id, field="owner_id", subject=f"{self.kind.value} id")
        return self


class AttachmentIntent(Model):
    """One reference of a session: an intent until it is committed. Times in ms by the store's clock."""

    attachment_id: str
    session_id: str
    canonical_uri: str
    intent_at_epoch_ms: int
    owner_kind: AttachmentOwnerKind | None = None
    owner_id: str | None = None
    committed_at_epoch_ms: int | None = None

    @property
    def owner(self) -> AttachmentOwner | None:
        """Who brought it in, or None."""
        if self.owner_kind is None or self.owner_id is None:
            return None
        return AttachmentOwner(self.owner_kind, self.owner_id)

    @property
    def is_committed(self) -> bool:
        """True once a commit stamped it: it counts until it is dropped."""
        return self.committed_at_epoch_ms is not None


class CommittedTurn(Model):
    """The last turn of a session that committed, and when."""

    turn_id: str = Field(kw_only=False)
    at_ms: int = Field(kw_only=False)


def attachment_uri(attachment_id: str) -> str:
    """The address of an attachment for everybody: it names the bytes and no place."""
    return f"lash:{attachment_id}"


def is_spent(intent: AttachmentIntent, *, now_ms: int, grace_ms: int) -> bool:
    """True for an uncommitted intent older than the grace: whether it still counts is up to its owner."""
    return not intent.is_committed and now_ms - intent.intent_at_epoch_ms > grace_ms


def is_owner_dead(intent: AttachmentIntent, last: CommittedTurn | None, *, process_exists: bool) -> bool:
    """Whether nobody can commit this intent any more.

    A turn is dead when another turn of the session has committed after the intent; a process when its row is pruned.
    An intent without an owner has nobody to wait for.

    Args:
        intent: the intent.
        last: the last turn of its session that committed.
        process_exists: whether the owner's row is there; only looked at for processes.
    """
    match intent.owner_kind:
        case None:
            return True
        case AttachmentOwnerKind.PROCESS:
            return not process_exists
        case AttachmentOwnerKind.TURN:
            return last is not None and last.turn_id != intent.owner_id and last.at_ms > intent.intent_at_epoch_ms
