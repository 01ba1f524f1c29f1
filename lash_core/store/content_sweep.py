"""What a mark and sweep of content-addressed bytes asks of the stores (``docs/contracts/attachments.md`` 6).

Stores tell what lies in them and when it was last put; roots tell what is still named. Neither needs the other: what
joins them is ``lash_core.runtime.content_sweep``.
"""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from pydantic import Field

from lash_core.model.base import Model

GRACE_MS = 24 * 3_600_000
"""Bytes stay for a day after their last put: whoever put them has that long to name them."""

LIST_PAGE = 1_000
"""Addresses of one page: about 100 KB of the caller's memory."""

_REF = re.compile(rb"(?:process-env|artifact|attachment|session-blob):sha256:[0-9a-f]{64}")


class StoredContent(Model):
    """Bytes that are stored.

    ``put_at_ms`` is their last put by the store's clock; ``stamp`` is that put's own, and no other put of them has it.
    """

    ref: str = Field(kw_only=False)
    put_at_ms: int = Field(kw_only=False)
    stamp: str = Field(kw_only=False)


class ContentPage(Model):
    """Some of what is stored. ``next_cursor`` None = that was all."""

    items: tuple[StoredContent, ...] = ()
    next_cursor: str | None = None


class ContentRefs(Model):
    """Some of what is named. ``next_cursor`` None = that was all."""

    refs: frozenset[str] = frozenset()
    next_cursor: str | None = None


@runtime_checkable
class SweptContent(Protocol):
    """A store of bytes by content address that can be swept."""

    @property
    def family(self) -> str:
        """The word before ``:sha256:`` in its addresses."""
        ...

    async def list_stored(
        self, cursor: str | None = None, limit: int = LIST_PAGE, *, min_age_ms: int = 0
    ) -> ContentPage:
        """Addresses in the order of their digests, each once, in pages of at most ``limit``.

        What is there from the first page to the last is in exactly one of them.

        Args:
            cursor: None, or ``next_cursor`` of the page before.
            limit: at least 1.
            min_age_ms: leave out what was put within this time.

        Raises:
            InvalidCursorError: no cursor of this store.
        """
        ...

    async def delete_unchanged(self, stored: StoredContent) -> bool:
        """Delete bytes that nobody put since they were listed; False when somebody did, or when they are gone.

        Atomic against ``put``: a put either is seen here, or finds nothing and stores the bytes again. Safe to repeat.
        """
        ...


@runtime_checkable
class ContentRoots(Protocol):
    """Something that names content."""

    async def refs_page(self, cursor: str | None, limit: int, *, grace_ms: int) -> ContentRefs:
        """The addresses that about ``limit`` holders name.

        What is named from the first page to the last is on at least one page. Naming too much is safe.

        Args:
            cursor: None, or ``next_cursor`` of the page before.
            limit: holders looked at.
            grace_ms: how long an unfinished claim counts (references of attachments).
        """
        ...


def refs_in(text: bytes | str) -> frozenset[str]:
    """Every content address in a stored text.

    Addresses stand in records as they are, in all record versions, so nothing needs to be decoded; user text that
    looks like an address keeps what it names.
    """
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return frozenset(found.decode() for found in _REF.findall(data))
