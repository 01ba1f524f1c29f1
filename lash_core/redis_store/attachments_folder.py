"""Where a namespace keeps its attachments: in Redis, and large ones in ``LASH_ATTACHMENTS_DIR`` if that is set.

All machines must see the same folder. That is checked, not believed: the folder carries an id, and the layout of the
namespace remembers it (docs/adr/0152).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from lash_core.errors import SettingsError, StoreAuthError
from lash_core.file_store.attachment_store import FileAttachmentStore
from lash_core.file_store.content_folder import ContentFolder
from lash_core.file_store.tiered_attachments import TieredAttachmentStore
from lash_core.redis_store.attachment_store import RedisAttachmentStore
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import layout_key
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import server_time_ms
from lash_core.store.attachment_store import ATTACHMENT_SMALL_BYTES_MAX

SETTING = "LASH_ATTACHMENTS_DIR"
MARKER = "folder-id"
"""File in the folder: 32 hex digits that no other folder has."""


async def open_attachments(context: RedisContext) -> RedisAttachmentStore | TieredAttachmentStore:
    """The attachments of a namespace.

    Raises:
        SettingsError: the folder cannot be used, or is not the one that the namespace's other users have.
    """
    if context.settings.attachments_dir is None:
        return RedisAttachmentStore(context)
    folder = _folder(context.settings.attachments_dir, context.settings.namespace)
    try:
        folder_id = await asyncio.to_thread(_folder_id, folder)
    except OSError as error:
        raise SettingsError(
            f"{SETTING} is {str(folder.parent)!r}, which cannot be used: {error.strerror or error}",
            field=SETTING,
            value=str(folder.parent),
        ) from error
    await _claim(context, folder, folder_id)
    small = RedisAttachmentStore(context, bytes_max=ATTACHMENT_SMALL_BYTES_MAX)
    return TieredAttachmentStore(small, FileAttachmentStore(folder, _clock_of(context)))


async def _claim(context: RedisContext, folder: Path, folder_id: str) -> None:
    key = layout_key(context.settings.namespace)
    # Looked up first: once it is claimed, a role that may not write needs no script.
    known = (await context.connection.read([Command(key, ("HGET", key, "attachments"))]))[0]
    if known is None:
        try:
            answer = str((await context.scripts.run([Call("claim_attachments_folder", (key,), (folder_id,))]))[0])
        except StoreAuthError:
            return
        known = folder_id if answer == "claimed" else answer.partition(" ")[2]
    if known != folder_id:
        raise SettingsError(
            f"{SETTING} is {str(folder.parent)!r} on this machine, but namespace {context.settings.namespace!r} keeps "
            f"its attachments in another folder (its {MARKER} is {known}, here it is {folder_id}); all machines must "
            "see the same one",
            field=SETTING,
            value=str(folder.parent),
        )


def _folder(attachments_dir: str, namespace: str) -> Path:
    """A folder of its own for each namespace: the sweep of one must not find what another one needs."""
    return Path(attachments_dir).expanduser() / namespace


def _folder_id(folder: Path) -> str:
    files = ContentFolder(folder)
    files.prepare()
    marker = folder / MARKER
    if not marker.exists():
        path, file = files.open_incoming()
        with file:
            file.write(secrets.token_hex(16).encode())
        try:
            # By link: whoever is first makes the file, complete, and nobody replaces it.
            marker.hardlink_to(path)
        except FileExistsError:
            pass
        finally:
            path.unlink(missing_ok=True)
    return marker.read_text(encoding="ascii").strip()


def _clock_of(context: RedisContext) -> Callable[[], Awaitable[int]]:
    async def now_ms() -> int:
        return await server_time_ms(context)

    return now_ms
