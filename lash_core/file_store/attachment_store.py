"""``AttachmentStore`` over a folder, for large attachments (``docs/contracts/attachments.md`` 2)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lash_core.errors import StoreRefusedError
from lash_core.file_store.content_folder import ContentFolder
from lash_core.file_store.file_systems import is_kept_in_memory
from lash_core.model.disposition import DurabilityTier
from lash_core.store.attachment_bytes import AttachmentVerbs
from lash_core.store.attachment_store import (
    ATTACHMENT_FAMILY,
    ATTACHMENT_FILE_BYTES_MAX,
    CHUNK_BYTES,
    AttachmentData,
    AttachmentNotFoundError,
    over_limit,
)
from lash_core.store.content_address import corrupt_content, digest_after, digest_of
from lash_core.store.content_sweep import LIST_PAGE, ContentPage, StoredContent

LEFTOVERS_EVERY_SECONDS = 3_600
"""How often a store that takes attachments in looks for what crashes left."""


class FileAttachmentStore(AttachmentVerbs):
    """Files by digest in one folder, which every process that reads them must see.

    What comes in is written to disk while it is hashed, so its size is bounded by the folder and not by memory. It is
    on disk, name and bytes, when ``put`` returns.

    Args:
        folder: made when it is not there; nothing else may be in it.
        now_ms: the clock that decides ages: the fleet's store's, so that all machines agree.
        bytes_max: one attachment.
    """

    def __init__(
        self, folder: Path, now_ms: Callable[[], Awaitable[int]], *, bytes_max: int = ATTACHMENT_FILE_BYTES_MAX
    ) -> None:
        self._files = ContentFolder(folder)
        self._now_ms = now_ms
        self._bytes_max = bytes_max
        self._looked_at = float("-inf")

    @property
    def family(self) -> str:
        """``attachment``."""
        return ATTACHMENT_FAMILY

    def durability_tier(self) -> DurabilityTier:
        """``durable``; ``inline`` on a file system in memory, which goes with the machine's power."""
        return DurabilityTier.INLINE if is_kept_in_memory(self._files.folder) else DurabilityTier.DURABLE

    async def stage(self, data: AttachmentData) -> StagedFile:
        """Write bytes to the folder without showing them. Raises: LimitExceededError, StoreRefusedError."""
        await self._drop_leftovers()
        with self._refusals():
            path, file = await asyncio.to_thread(self._files.open_incoming)
        try:
            digest, size = await self._write(file, data)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        finally:
            await asyncio.to_thread(file.close)
        return StagedFile(path, digest, size, self._place)

    async def _write(self, file: BinaryIO, data: AttachmentData) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        async for part in _parts(data):
            size += len(part)
            if size > self._bytes_max:
                raise over_limit(len(data) if isinstance(data, bytes) else None, self._bytes_max)
            digest.update(part)
            # An error of the stream is the caller's; only the file's own ones are the folder's.
            with self._refusals():
                await asyncio.to_thread(file.write, part)
        with self._refusals():
            await asyncio.to_thread(_sync, file)
        return digest.hexdigest(), size

    async def _place(self, path: Path, digest: str) -> None:
        now_ms = await self._now_ms()
        with self._refusals():
            await asyncio.to_thread(self._files.place, path, digest, now_ms)

    async def touch(self, ref: str) -> bool:
        """Refresh the age as a put would; False when there are no bytes. Raises: InvalidArgumentError."""
        digest, now_ms = _digest(ref), await self._now_ms()
        with self._refusals():
            return await asyncio.to_thread(self._files.refresh, digest, now_ms)

    async def get(self, attachment_id: str) -> bytes:
        """The bytes. Raises: AttachmentNotFoundError, InvalidArgumentError, CorruptRecordError, StoreRefusedError."""
        return b"".join([part async for part in self.read(attachment_id)])

    async def read(self, attachment_id: str, *, chunk_bytes: int = CHUNK_BYTES) -> AsyncIterator[bytes]:
        """The bytes in portions; the address is checked behind the last one. Raises: as ``get``."""
        digest = _digest(attachment_id)
        with self._refusals():
            file = await asyncio.to_thread(self._files.open, digest)
            if file is None:
                raise AttachmentNotFoundError(attachment_id)
            found = hashlib.sha256()
            try:
                while part := await asyncio.to_thread(file.read, chunk_bytes):
                    found.update(part)
                    yield part
            finally:
                file.close()
            if found.hexdigest() != digest:
                raise corrupt_content(str(self._files.folder / digest[:2] / digest))

    async def delete(self, attachment_id: str) -> None:
        """Delete the bytes; none there is success. Raises: InvalidArgumentError, StoreRefusedError."""
        digest = _digest(attachment_id)
        with self._refusals():
            await asyncio.to_thread(self._files.remove, digest, None)

    async def list_stored(
        self, cursor: str | None = None, limit: int = LIST_PAGE, *, min_age_ms: int = 0
    ) -> ContentPage:
        """Addresses in the order of their digests, each once. Raises: InvalidCursorError, StoreRefusedError."""
        after = digest_after(cursor)
        cutoff_ms = await self._now_ms() - min_age_ms if min_age_ms else float("inf")
        with self._refusals():
            found = await asyncio.to_thread(self._files.list_after, after, limit + 1, cutoff_ms)
        items = tuple(
            StoredContent(f"{ATTACHMENT_FAMILY}:sha256:{digest}", stamp // 1_000_000, str(stamp))
            for digest, stamp in found[:limit]
        )
        return ContentPage(items=items, next_cursor=found[limit - 1][0] if len(found) > limit else None)

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        """Delete bytes that nobody put since they were listed. Raises: InvalidArgumentError, StoreRefusedError."""
        digest = _digest(stored.ref)
        with self._refusals():
            return await asyncio.to_thread(self._files.remove, digest, int(stored.stamp))

    async def _drop_leftovers(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > LEFTOVERS_EVERY_SECONDS:
            self._looked_at = now
            with self._refusals():
                await asyncio.to_thread(self._files.drop_leftovers)

    @contextmanager
    def _refusals(self) -> Generator[None]:
        """What the file system refuses, as an error that names the folder."""
        try:
            yield
        except OSError as error:
            folder = str(self._files.folder)
            raise StoreRefusedError(
                f"the folder for attachments {folder} cannot be used: {error.strerror or error}",
                field="LASH_ATTACHMENTS_DIR",
                value=folder,
            ) from error


class StagedFile:
    """A ``StagedAttachment`` in the folder of incoming files."""

    def __init__(self, path: Path, digest: str, size_bytes: int, place: Callable[[Path, str], Awaitable[None]]) -> None:
        self._path = path
        self._digest = digest
        self._size_bytes = size_bytes
        self._place = place
        self._stored = False

    @property
    def attachment_id(self) -> str:
        """The address."""
        return f"{ATTACHMENT_FAMILY}:sha256:{self._digest}"

    @property
    def size_bytes(self) -> int:
        """How many bytes."""
        return self._size_bytes

    async def store(self) -> None:
        """Make them readable. Safe to repeat. Raises: StoreRefusedError."""
        if not self._stored:
            await self._place(self._path, self._digest)
            self._stored = True

    async def discard(self) -> None:
        """Remove the file if it was not stored."""
        if not self._stored:
            await asyncio.to_thread(self._path.unlink, missing_ok=True)


async def _parts(data: AttachmentData) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        for start in range(0, len(data), CHUNK_BYTES):
            yield data[start : start + CHUNK_BYTES]
        return
    async for part in data:
        yield part


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _digest(attachment_id: str) -> str:
    return digest_of(attachment_id, ATTACHMENT_FAMILY, field="attachment_id")
