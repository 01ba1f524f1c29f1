"""Notices that a source file of an app has changed, by looking at modification times."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

FILES_MAX = 5_000
"""More files than this are not an app's source: what lies beyond is not watched."""

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv", "build", "dist"})


class SourceWatch:
    """The ``*.py`` files around some modules.

    Args:
        modules: dotted names; the folder of each one's outermost package is watched, or the folder of the file.
        folder: where modules are looked for first.
    """

    def __init__(self, modules: Sequence[str], folder: Path) -> None:
        self.folders = tuple(dict.fromkeys(_folder_of(name, folder) for name in modules))
        self._seen = self._look()

    def changed(self) -> list[str]:
        """Names of files that changed, came or went since the last call, sorted."""
        now = self._look()
        before, self._seen = self._seen, now
        return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    def _look(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for folder in self.folders:
            for path in _sources(folder):
                if len(found) >= FILES_MAX:
                    return found
                try:
                    found[str(path)] = path.stat().st_mtime_ns
                except OSError:
                    continue  # gone between the listing and the look
        return found


def _folder_of(module: str, folder: Path) -> Path:
    spec = PathFinder.find_spec(module.split(".", maxsplit=1)[0], [str(folder)])
    if spec is None or spec.origin is None:
        return folder
    return Path(spec.origin).parent


def _sources(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        yield from (Path(root) / name for name in sorted(names) if name.endswith(".py"))
