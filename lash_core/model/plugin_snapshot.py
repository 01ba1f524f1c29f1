"""What the plugins of a session keep, and the fingerprint that says whether it changed. Pure.

``docs/contracts/sessions.md`` 1.14.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from lash_core.model.base import JsonValue, Model


def _decoded(value: Any) -> Any:
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


Base64Data = Annotated[bytes, BeforeValidator(_decoded), PlainSerializer(_encoded, when_used="json")]
"""Bytes in memory, base64 text in JSON."""


class PluginSnapshotMeta(Model):
    """Who keeps it. ``state`` is the plugin's own JSON; ``revision`` changes when it does."""

    plugin_id: str
    plugin_version: str = ""
    revision: int = Field(default=0, ge=0)
    state: JsonValue = None


class PluginSnapshotArtifact(Model):
    """A named piece of bytes of a plugin, beside its state."""

    name: str = Field(kw_only=False)
    data: Base64Data = Field(kw_only=False)


class PluginSnapshotEntry(Model):
    """What one plugin keeps of a session."""

    meta: PluginSnapshotMeta
    artifacts: tuple[PluginSnapshotArtifact, ...] = ()


class PluginSessionSnapshot(Model):
    """What a session's plugins keep, by plugin id."""

    plugins: dict[str, PluginSnapshotEntry] = Field(default_factory=dict)

    @property
    def revision_fingerprint(self) -> int:
        """See ``plugin_revision_fingerprint``."""
        metas = (entry.meta for entry in self.plugins.values())
        return plugin_revision_fingerprint((meta.plugin_id, meta.plugin_version, meta.revision) for meta in metas)


def plugin_revision_fingerprint(revisions: Iterable[tuple[str, str, int]]) -> int:
    """One number for ``(plugin id, version, revision)`` of all plugins, in any order: equal means nothing to store.

    The first 8 bytes, little endian, of a SHA-256 over the plugins in the order of their ids.
    """
    digest = hashlib.sha256()
    for plugin_id, version, revision in sorted(revisions):
        digest.update(plugin_id.encode() + b"\0" + version.encode() + b"\0")
        digest.update(revision.to_bytes(8, "little") + b"\xff")
    return int.from_bytes(digest.digest()[:8], "little")
