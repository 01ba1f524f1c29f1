"""Cursors of listings and of the change feed as text (decision 22): opaque to callers, checked when they return."""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib
from collections.abc import Sequence

from lash_core.errors import InvalidCursorError

_PAGE = re.compile(r"p1\.(\d{1,4})\.(\d{1,16})")
_FEED = "c1."


def encode_page_cursor(partition: int, sequence: int) -> str:
    """Go on in ``partition`` after the row with this change sequence."""
    return f"p1.{partition}.{sequence}"


def decode_page_cursor(cursor: str | None, partitions: int) -> tuple[int, int]:
    """Partition and change sequence to go on after.

    Raises:
        InvalidCursorError: this store did not issue it.
    """
    if cursor is None:
        return 0, 0
    found = _PAGE.fullmatch(cursor)
    if found is None or int(found[1]) >= partitions:
        raise _invalid(cursor)
    return int(found[1]), int(found[2])


def encode_feed_cursor(sequences: Sequence[int]) -> str:
    """Change sequences by partition; '' when nothing was read yet."""
    if not any(sequences):
        return ""
    packed = zlib.compress(struct.pack(f">{len(sequences)}Q", *sequences))
    return _FEED + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_feed_cursor(token: str, partitions: int) -> list[int]:
    """Change sequences by partition.

    Raises:
        InvalidCursorError: this store did not issue it, or it has another number of partitions.
    """
    if not token:
        return [0] * partitions
    text = token.removeprefix(_FEED)
    try:
        if text == token:
            raise _invalid(token)
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        # Bounded, so that a forged cursor cannot unpack into a large value.
        unpacked = zlib.decompressobj().decompress(packed, 8 * partitions + 1)
        return list(struct.unpack(f">{partitions}Q", unpacked))
    except (ValueError, binascii.Error, zlib.error, struct.error) as error:
        raise _invalid(token) from error


def earliest_feed_cursor(tokens: Sequence[str], partitions: int) -> str:
    """The position that none of these is behind, partition by partition.

    Raises:
        InvalidCursorError: this store did not issue one of them.
    """
    positions = [decode_feed_cursor(token, partitions) for token in tokens]
    return encode_feed_cursor([min(sequences) for sequences in zip(*positions, strict=True)])


def _invalid(cursor: str) -> InvalidCursorError:
    return InvalidCursorError(f"cursor {cursor[:80]!r} is not one of this store", field="cursor", value=cursor)
