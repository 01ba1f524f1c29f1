"""A folder of files by digest, safe for several processes at once. Blocking: callers use a thread.

``<folder>/<2 hex>/<digest>`` holds the bytes, its modification time is the last put by the store's clock. Files come
in through ``incoming`` and go out through ``leaving``, by rename, so nobody ever sees part of one. No locks:

* a put that finds the file sets its time and looks whether it is still there; otherwise it moves its own copy there;
* a delete moves the file out, and looks whether its time is still the one that was listed; otherwise it moves it back.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LEFTOVER_SECONDS = 24 * 3_600
"""Files that came in or went out this long ago were left by a crash."""

LOOKS = 3
"""A file that a delete moves back is away for some microseconds: who does not find it looks again,"""
LOOK_SECONDS = 0.005
"""after this pause."""

_NS_PER_MS = 1_000_000
_HEX = frozenset("0123456789abcdef")


class ContentFolder:
    """The files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._incoming = folder / "incoming"
        self._leaving = folder / "leaving"

    def prepare(self) -> None:
        """Make the folders. Safe to repeat. Raises: OSError."""
        for path in (self.folder, self._incoming, self._leaving):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    # -- coming in -------------------------------------------------------------------------------------------

    def open_incoming(self) -> tuple[Path, BinaryIO]:
        """A fresh file to write to. Raises: OSError."""
        self.prepare()
        path = self._incoming / secrets.token_hex(16)
        return path, os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def place(self, incoming: Path, digest: str, now_ms: int) -> None:
        """Make a complete file readable under its digest, or refresh the one that is there; returns when it is on disk.

        Safe to repeat with the same file as long as it is there. Raises: OSError.
        """
        if self.refresh(digest, now_ms):
            incoming.unlink(missing_ok=True)
            return
        path = self._path(digest)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self.folder)
        stamp = now_ms * _NS_PER_MS + _spread()
        os.utime(incoming, ns=(stamp, stamp))
        incoming.replace(path)
        _sync_folder(path.parent)

    def refresh(self, digest: str, now_ms: int) -> bool:
        """Set a file's time as a put does; False when it is not there. Raises: OSError."""
        path = self._path(digest)
        try:
            stamp = max(now_ms * _NS_PER_MS, path.stat().st_mtime_ns + _NS_PER_MS)
            stamp += _spread()
            os.utime(path, ns=(stamp, stamp))
            # A delete may have moved the file between the lookup of its name and the change of its time.
            return path.stat().st_mtime_ns >= stamp
        except FileNotFoundError:
            return False

    def drop_leftovers(self) -> None:
        """Remove what crashes left in ``incoming``, move back what they left in ``leaving``. Raises: OSError."""
        oldest = time.time() - LEFTOVER_SECONDS
        for path in _files(self._incoming):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
        for path in _files(self._leaving):
            # The age is that of the bytes, so the name tells when it left.
            digest, _, left_at = path.name.partition(".")
            if _is_digest(digest) and left_at.partition(".")[0].isdigit() and int(left_at.partition(".")[0]) < oldest:
                self._move_back(path, digest)

    # -- there -----------------------------------------------------------------------------------------------

    def open(self, digest: str) -> BinaryIO | None:
        """The file for reading, None when there is none. Raises: OSError."""
        for look in range(LOOKS):
            if look:
                time.sleep(LOOK_SECONDS)
            with suppress(FileNotFoundError):
                return self._path(digest).open("rb")
        return None

    def list_after(self, after: str, limit: int, cutoff_ms: float) -> list[tuple[str, int]]:
        """Digests behind ``after`` with their times in ns, in order, put at or before ``cutoff_ms``.

        Raises:
            OSError.
        """
        found: list[tuple[str, int]] = []
        for number in range(int(after[:2], 16) if after else 0, 256):
            for path in sorted(_files(self.folder / f"{number:02x}")):
                if path.name > after and _is_digest(path.name):
                    with suppress(FileNotFoundError):
                        stamp = path.stat().st_mtime_ns
                        if stamp // _NS_PER_MS <= cutoff_ms:
                            found.append((path.name, stamp))
                if len(found) == limit:
                    return found
        return found

    # -- going out -------------------------------------------------------------------------------------------

    def remove(self, digest: str, stamp: int | None) -> bool:
        """Delete a file whose time is ``stamp`` in ns, None = any; False when it is gone or was put again.

        Raises:
            OSError.
        """
        path = self._path(digest)
        try:
            if stamp is not None and path.stat().st_mtime_ns != stamp:
                return False
            left = self._leaving / f"{digest}.{int(time.time())}.{secrets.token_hex(8)}"
            path.rename(left)
        except FileNotFoundError:
            return False
        if stamp is not None and left.stat().st_mtime_ns != stamp:
            self._move_back(left, digest)
            return False
        left.unlink(missing_ok=True)
        return True

    def _move_back(self, left: Path, digest: str) -> None:
        # A link never replaces what a put stored meanwhile.
        with suppress(FileExistsError):
            os.link(left, self._path(digest))
        left.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def _files(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield Path(entry.path)
    except FileNotFoundError:
        return


def _is_digest(name: str) -> bool:
    return len(name) == 64 and _HEX.issuperset(name)


def _spread() -> int:
    """Nanoseconds within a millisecond: two puts of one millisecond have different times all the same."""
    return random.randrange(_NS_PER_MS)  # noqa: S311 - tells puts apart and guards nothing


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
