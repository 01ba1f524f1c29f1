"""How the directory's entries are encoded, checked and bounded; the same for every store. Pure."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import ValidationError

from lash_core.errors import LimitExceededError
from lash_core.model.base import Model
from lash_core.model.canonical_json import canonical_json
from lash_core.model.ids import check_id
from lash_core.model.manifest import KindManifest, WorkerEntry

WORKERS_MAX = 10_000
"""Entries of workers, silent ones too."""

SILENT_MS = 24 * 3_600_000
"""A worker that was silent for a day is dropped; until then ``list_workers(seen_within_ms=None)`` shows it."""

KINDS_MAX = 10_000
"""Kind manifests of one namespace."""

PROJECTORS_MAX = 1_000
"""Named readers of the change feed."""

ENTRY_BYTES_MAX = 256 * 1024
"""One manifest or worker entry; schemas are the large part."""

_VERSION = 1

AnyEntry = TypeVar("AnyEntry", bound=Model)


def encode_entry(entry: Model, *, field: str) -> str:
    """The canonical JSON of a manifest or worker entry with its record version.

    Raises:
        LimitExceededError: over ``ENTRY_BYTES_MAX``.
        InvalidJsonError: a schema that is not JSON.
    """
    text = canonical_json({"v": _VERSION, **entry.to_json_value()}, field=field)
    size = len(text.encode())
    if size > ENTRY_BYTES_MAX:
        raise LimitExceededError(
            f"{field} has {size} bytes; the limit is {ENTRY_BYTES_MAX}", field=field, value=size, limit=ENTRY_BYTES_MAX
        )
    return text


def decode_entry(text: str, model: type[AnyEntry]) -> AnyEntry | None:
    """The entry, or None when this release cannot read it.

    The directory only hints, so one bad entry must not hide the rest. Fields that only a newer release knows are
    left out.
    """
    try:
        data: Any = json.loads(text)
        return model.model_validate({name: value for name, value in data.items() if name in _names_of(model)})
    except (ValueError, AttributeError, ValidationError):
        return None


def _names_of(model: type[Model]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def check_worker(entry: WorkerEntry) -> None:
    """Refuse an entry whose id is not legal. Raises: InvalidArgumentError."""
    check_id(entry.worker_id, field="worker_id", subject="worker id")


def check_manifest(manifest: KindManifest) -> None:
    """Refuse a manifest whose kind is not legal. Raises: InvalidArgumentError."""
    check_id(manifest.kind, field="kind", subject="process kind")


def full(what: str, limit: int) -> LimitExceededError:
    """The refusal of a directory part that is full."""
    return LimitExceededError(
        f"the directory holds {limit} {what}, which is the limit; remove some first", field=what, limit=limit
    )
