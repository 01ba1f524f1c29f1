"""The folders of the embedded server: its data, and a short private place for its socket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path

from lash_core.errors import SettingsError

SOCKET_BYTES_MAX = 100
"""Linux takes 107 bytes and macOS 103; a server exits on a longer path."""


def prepare_folder(data_dir: str) -> Path:
    """Make the data folder and keep it out of version control; returns its absolute path.

    Raises:
        SettingsError: it cannot be made or written to.
    """
    folder = Path(data_dir).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = folder / ".gitignore"
        # Only in a folder that is lash's from the start: in one with other files it would hide those from git.
        if not any(folder.iterdir()):
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"LASH_DATA_DIR is {str(folder)!r}, which cannot be used: {error.strerror or type(error).__name__}",
            field="LASH_DATA_DIR",
            value=str(folder),
        ) from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SettingsError(
            f"LASH_DATA_DIR is {str(folder)!r}, which this user may not write to",
            field="LASH_DATA_DIR",
            value=str(folder),
        )
    return folder


def runtime_socket(data_dir: Path, previous: Path | None = None) -> Path:
    """Where the server of a folder listens: the same path each time, so that clients find it again after a restart.

    Args:
        data_dir: absolute path of the data folder.
        previous: the path of the last start, kept when its folder is still private to this user.
    """
    if previous is not None and _is_private(previous.parent):
        return previous
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    bases = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")  # noqa: S108 - checked to be private
    for base in bases:
        if not base:
            continue
        folder = Path(base) / f"lash-{os.getuid()}" / digest
        path = folder / "s"
        if len(os.fsencode(path)) <= SOCKET_BYTES_MAX and _make_private(folder.parent) and _make_private(folder):
            return path
    return Path(tempfile.mkdtemp(prefix="lash-", dir="/tmp")) / "s"


def remove_socket(path: Path) -> None:
    """Remove a stopped server's socket and its folder. Safe to repeat."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _make_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return False
    return _is_private(folder)


def _is_private(folder: Path) -> bool:
    """True for a real folder of this user that nobody else may enter: shared temp folders invite squatters."""
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and stat.S_IMODE(facts.st_mode) & 0o077 == 0
