"""``server.json`` of a data folder: which server wrote the data, and where the running one listens.

A server reads the data of an older one of its family; Valkey also reads what Redis up to 7.2 wrote. Anything else
either does not start or, worse, starts empty, so a foreign folder is refused before a server is started on it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lash_core.errors import CorruptRecordError, StoreVersionError
from lash_core.redis_store.embedded_binary import ServerBinary, version_text

STAMP_NAME = "server.json"
_LAST_COMMON_REDIS = (7, 3)
"""Valkey reads what Redis wrote before 7.4, where the formats parted."""


@dataclass(frozen=True, slots=True)
class ServerStamp:
    """Who wrote the data, and how to reach the server while it runs."""

    family: str
    version: str
    binary: str
    socket: str
    pid: int
    format: int = 1

    @property
    def name(self) -> str:
        """For people: ``Valkey 9.1.2``."""
        return f"{self.family.capitalize()} {self.version}"


def read_stamp(data_dir: Path) -> ServerStamp | None:
    """The folder's stamp, or None when no server has run here.

    Raises:
        CorruptRecordError: the file is there and cannot be read as a stamp.
    """
    path = data_dir / STAMP_NAME
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return ServerStamp(
            family=str(value["family"]),
            version=str(value["version"]),
            binary=str(value["binary"]),
            socket=str(value["socket"]),
            pid=int(value["pid"]),
            format=int(value["format"]),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptRecordError(
            f"{path} is no stamp of a lash server ({type(error).__name__}); if the data in {data_dir} is lash's, "
            "restore the file, else choose another LASH_DATA_DIR",
            key=str(path),
        ) from None


def write_stamp(data_dir: Path, stamp: ServerStamp) -> None:
    """Replace the stamp in one step, so that no reader sees half of it."""
    draft = data_dir / f"{STAMP_NAME}.new"
    draft.write_text(json.dumps(asdict(stamp), sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(data_dir / STAMP_NAME)


def check_readable(data_dir: Path, stamp: ServerStamp | None, binary: ServerBinary) -> None:
    """Refuse data that this server program cannot read.

    Raises:
        StoreVersionError: names the program that wrote the data.
    """
    if stamp is None:
        foreign = next(
            (name for name in ("appendonlydir", "dump.rdb", "appendonly.aof") if (data_dir / name).exists()), ""
        )
        if foreign:
            raise StoreVersionError(
                f"{data_dir} holds {foreign} but no {STAMP_NAME}: another program wrote it; "
                "choose another LASH_DATA_DIR",
                field="LASH_DATA_DIR",
                value=str(data_dir),
            )
        return
    written = tuple(int(part) for part in stamp.version.split("."))
    same_family = stamp.family == binary.family and written <= binary.version
    from_redis = stamp.family == "redis" and binary.family == "valkey" and written[:2] <= _LAST_COMMON_REDIS
    if not (same_family or from_redis):
        raise StoreVersionError(
            f"the data in {data_dir} was written by {stamp.name} ({stamp.binary}); {binary.name} ({binary.path}) "
            "cannot read it: set LASH_REDIS_SERVER_BIN to the program that wrote it, or choose another LASH_DATA_DIR",
            field="LASH_DATA_DIR",
            value=version_text(binary.version),
            limit=stamp.name,
        )
