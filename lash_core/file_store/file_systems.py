"""What kind of file system a folder is on."""

from __future__ import annotations

from pathlib import Path

_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def is_kept_in_memory(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> bool:
    """True when a folder, or where it would be made, is on a file system that lives in memory.

    Only Linux tells; elsewhere the answer is False.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    path = folder.resolve()
    found, kind = "", ""
    for line in lines:
        fields = line.split(" ")
        point = fields[1].encode().decode("unicode_escape") if len(fields) > 2 else ""
        # The last mount of the longest point counts: later ones hide earlier ones.
        if point and path.is_relative_to(point) and len(point) >= len(found):
            found, kind = point, fields[2]
    return kind in _IN_MEMORY
