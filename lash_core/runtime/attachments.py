"""Attachments as one session or process sees them (``docs/contracts/attachments.md`` 4)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lash_core.model.attachment import AttachmentIntent, AttachmentOwner
from lash_core.model.environment import process_env_session_id
from lash_core.store.attachment_manifest import AttachmentManifest
from lash_core.store.attachment_store import (
    CHUNK_BYTES,
    AttachmentData,
    AttachmentNotFoundError,
    AttachmentRef,
    AttachmentStore,
    StagedAttachment,
)


class SessionAttachments:
    """The attachments of one session: nobody reads through it what the session does not refer to.

    Args:
        session_id: the session.
        store: the bytes.
        manifest: the references.
        owner: what attachments come in with from now on: the current turn or process, None for nobody.
    """

    def __init__(
        self,
        session_id: str,
        store: AttachmentStore,
        manifest: AttachmentManifest,
        *,
        owner: AttachmentOwner | None = None,
    ) -> None:
        self._session_id = session_id
        self._store = store
        self._manifest = manifest
        self._owner = owner

    @classmethod
    def of_process(cls, process_id: str, store: AttachmentStore, manifest: AttachmentManifest) -> SessionAttachments:
        """The attachments of a process: in its own session, kept until its row is pruned."""
        owner = AttachmentOwner.process(process_id)
        return cls(process_env_session_id(process_id), store, manifest, owner=owner)

    def with_owner(self, owner: AttachmentOwner | None) -> SessionAttachments:
        """The same session with another owner of what comes in: a turn takes its own."""
        return SessionAttachments(self._session_id, self._store, self._manifest, owner=owner)

    @property
    def session_id(self) -> str:
        """The session."""
        return self._session_id

    async def put(
        self, data: AttachmentData, *, media_type: str = "application/octet-stream", name: str | None = None
    ) -> AttachmentRef:
        """Refer to bytes and store them. The reference is written first, so no sweep takes what is coming in.

        Safe to repeat. A crash between the two leaves an intent without bytes, which ``get`` answers as not found.

        Raises:
            LimitExceededError: over the store's bound, or too many references; nothing was stored.
        """
        return await self.put_staged(await self._store.stage(data), media_type=media_type, name=name)

    async def put_staged(
        self,
        staged: StagedAttachment,
        *,
        media_type: str = "application/octet-stream",
        name: str | None = None,
    ) -> AttachmentRef:
        """The same for bytes that the store has staged already; they are stored or discarded by it."""
        try:
            await self._manifest.record_intent(self._session_id, staged.attachment_id, owner=self._owner)
            await staged.store()
        finally:
            await staged.discard()
        return AttachmentRef(
            attachment_id=staged.attachment_id, media_type=media_type, size_bytes=staged.size_bytes, name=name
        )

    async def adopt(self, attachment_id: str, source: SessionAttachments) -> None:
        """Refer to what another session refers to, a parent's say. Safe to repeat.

        Knowing an address is not enough: whoever adopts has the attachments of a session that holds it.

        Raises:
            AttachmentNotFoundError: ``source`` does not refer to it; or the bytes are gone, and what is left is an
                intent without bytes, as after a crash.
        """
        await source._require(attachment_id)
        await self._manifest.record_intent(self._session_id, attachment_id, owner=self._owner)
        if not await self._store.touch(attachment_id):
            raise AttachmentNotFoundError(attachment_id)

    async def get(self, attachment_id: str) -> bytes:
        """All bytes at once.

        Raises:
            AttachmentNotFoundError: this session does not refer to it, whether the bytes are there or not; or they are
                not there.
            InvalidArgumentError: not an address. CorruptRecordError: the bytes do not hash to it.
        """
        await self._require(attachment_id)
        return await self._store.get(attachment_id)

    async def read(self, attachment_id: str, *, chunk_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The bytes in portions. Raises: as ``get``, from the iteration."""
        await self._require(attachment_id)
        async for part in self._store.read(attachment_id, chunk_bytes=chunk_bytes):
            yield part

    async def delete(self, attachment_id: str) -> None:
        """Drop the reference, and only that: other sessions may need the bytes. Safe to repeat."""
        await self._manifest.drop_ref(self._session_id, attachment_id)

    async def refs(self) -> tuple[AttachmentIntent, ...]:
        """What the session refers to, by attachment id."""
        return await self._manifest.list_refs(self._session_id)

    async def holds(self, attachment_id: str) -> bool:
        """True when the session refers to it. Raises: InvalidArgumentError: not an address."""
        return await self._manifest.holds_ref(self._session_id, attachment_id)

    async def _require(self, attachment_id: str) -> None:
        if not await self._manifest.holds_ref(self._session_id, attachment_id):
            raise AttachmentNotFoundError(attachment_id)
