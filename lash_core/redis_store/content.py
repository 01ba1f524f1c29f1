"""Content-addressed blobs over Redis: one string a blob, spread over 256 tags (``docs/contracts/redis_layout.md``).

The stored text is ``<version>;<ms of the last put>;<bytes>``. Beside the blobs of a tag stands an index, member
``<family letter>:<digest>`` by the µs of the last put: what lists and sweeps read.
"""

from __future__ import annotations

from typing import ClassVar

from lash_core.errors import CorruptRecordError, NewerRecordError
from lash_core.model.disposition import DurabilityTier
from lash_core.redis_store.commands import Command
from lash_core.redis_store.context import RedisContext
from lash_core.redis_store.keys import Keyspace
from lash_core.redis_store.replies import scored
from lash_core.redis_store.scripts import Call
from lash_core.redis_store.server_time import server_time_ms
from lash_core.store.artifact_store import ARTIFACT_FAMILY
from lash_core.store.attachment_store import ATTACHMENT_FAMILY
from lash_core.store.content_address import check_content, corrupt_content, digest_after, digest_of, is_content
from lash_core.store.content_sweep import LIST_PAGE, ContentPage, StoredContent
from lash_core.store.process_env_store import ENVIRONMENT_FAMILY
from lash_core.store.session_records import SESSION_BLOB_FAMILY

RECORD_VERSION = b"1"
FAMILY_LETTERS = {ENVIRONMENT_FAMILY: "e", ARTIFACT_FAMILY: "a", ATTACHMENT_FAMILY: "t", SESSION_BLOB_FAMILY: "s"}
TAGS_A_READ_MAX = 64
"""Tags of one read of a listing. It starts with one and doubles, so that full tags are not read for nothing."""


def member_of(family: str, digest: str) -> str:
    """A blob's member in the index of its tag."""
    return f"{FAMILY_LETTERS[family]}:{digest}"


def put_content_call(keyspace: Keyspace, family: str, digest: str, data: bytes) -> Call:
    """The script call that stores ``data``."""
    return Call("put_content", keyspace.content(digest), (data, member_of(family, digest)))


def touch_content_call(keyspace: Keyspace, family: str, digest: str) -> Call:
    """The script call that refreshes the age of a blob."""
    return Call("touch_content", keyspace.content(digest), (member_of(family, digest),))


class RedisContent:
    """Blobs by digest. Base of the stores of environments, artifacts and attachments."""

    content_family: ClassVar[str]
    ref_field: ClassVar[str] = "ref"

    def __init__(self, context: RedisContext) -> None:
        self._context = context

    @property
    def family(self) -> str:
        """The word before ``:sha256:`` in its addresses."""
        return self.content_family

    def durability_tier(self) -> DurabilityTier:
        """``durable``."""
        return DurabilityTier.DURABLE

    async def touch(self, ref: str) -> bool:
        """Refresh the age as a put would; False when there are no bytes. Safe to repeat.

        Raises:
            InvalidArgumentError: not an address.
        """
        call = touch_content_call(self._context.keyspace, self.family, self._digest(ref))
        return (await self._context.scripts.run([call], durable=True))[0] == "touched"

    async def list_stored(
        self, cursor: str | None = None, limit: int = LIST_PAGE, *, min_age_ms: int = 0
    ) -> ContentPage:
        """Addresses in the order of their digests, each once. Reads the index of each tag that a page touches.

        What was put by a release without an index is not listed before its next put.

        Raises:
            InvalidCursorError.
        """
        after = digest_after(cursor)
        cutoff = (await server_time_ms(self._context) - min_age_ms) * 1_000 if min_age_ms else "+inf"
        tags = self._context.keyspace.content_tags
        at, width = int(after[:2], 16) if after else 0, 1
        found: list[StoredContent] = []
        while at < len(tags):
            found += await self._listed(tags[at : at + width], after, cutoff)
            if len(found) > limit:
                return ContentPage(items=tuple(found[:limit]), next_cursor=found[limit - 1].ref.rpartition(":")[2])
            at, width = at + width, min(2 * width, TAGS_A_READ_MAX)
        return ContentPage(items=tuple(found))

    async def _listed(self, tags: tuple[str, ...], after: str, cutoff: int | str) -> list[StoredContent]:
        indexes = [self._context.keyspace.content_index(tag) for tag in tags]
        replies = await self._context.connection.read(
            [Command(index, ("ZRANGE", index, "-inf", cutoff, "BYSCORE", "WITHSCORES")) for index in indexes]
        )
        letter = f"{FAMILY_LETTERS[self.family]}:"
        found: list[StoredContent] = []
        for reply in replies:
            own = [(member[2:], put_us) for member, put_us in scored(reply) if member.startswith(letter)]
            found += [
                StoredContent(self._ref(digest), put_us // 1_000, str(put_us))
                for digest, put_us in sorted(own)
                if digest > after
            ]
        return found

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        """Delete bytes that nobody put since they were listed. Atomic, safe to repeat, works on a full server."""
        return await self._delete(stored.ref, stored.stamp) == "deleted"

    async def _delete(self, ref: str, put_us: str) -> str:
        digest = self._digest(ref)
        others = [member_of(family, digest) for family in FAMILY_LETTERS if family != self.family]
        args = (member_of(self.family, digest), put_us, *others)
        call = Call("delete_content", self._context.keyspace.content(digest), args)
        return str((await self._context.scripts.run([call], durable=True))[0])

    async def _put(self, ref: str, data: bytes, size_max: int) -> None:
        digest = check_content(ref, self.family, data, size_max=size_max)
        call = put_content_call(self._context.keyspace, self.family, digest, data)
        await self._context.scripts.run([call], durable=True)

    async def _get(self, ref: str) -> bytes | None:
        """The bytes, or None.

        Raises:
            InvalidArgumentError: not an address. NewerRecordError: written by a newer release.
            CorruptRecordError: not the bytes of this address.
        """
        digest = self._digest(ref)
        key = self._context.keyspace.environment(digest)
        stored: bytes | None = (await self._context.connection.read([Command(key, ("GET", key))], raw=True))[0]
        return None if stored is None else decode_content(stored, digest, key)

    def _digest(self, ref: str) -> str:
        return digest_of(ref, self.family, field=self.ref_field)

    def _ref(self, digest: str) -> str:
        return f"{self.family}:sha256:{digest}"


def decode_content(stored: bytes, digest: str, key: str) -> bytes:
    """The bytes of a stored text.

    Raises:
        NewerRecordError: written by a newer release. CorruptRecordError: not the bytes of this address.
    """
    version, _, rest = stored.partition(b";")
    if version.isdigit() and int(version) > int(RECORD_VERSION):
        raise NewerRecordError(f"the blob at {key} has record version {int(version)}", key=key)
    data = rest.partition(b";")[2]
    if version != RECORD_VERSION:
        raise CorruptRecordError(f"the blob at {key} has no record version", key=key)
    if not is_content(data, digest):
        raise corrupt_content(key)
    return data
