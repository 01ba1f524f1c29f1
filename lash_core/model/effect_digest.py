"""What a journal keeps of an envelope: its hash, and a digest tree that names what differs (contract 5.3, DESIGN 5).

The hash decides whether a replay asks for the same effect. The tree is small text: eight bytes for each JSON path, four
of the path and four of its value, so that a mismatch can say which paths differ without keeping the values.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope

PATHS_MAX = 64
"""Paths of one tree; what lies beyond is folded into the last one."""
NAMES_MAX = 8
"""Differing paths that an error names; who has more looks at these first."""
REST = "(more)"
"""Name of everything beyond ``PATHS_MAX``."""

_PART_BYTES = 4
_ENTRY_BYTES = 2 * _PART_BYTES
_KEYED = frozenset((EffectKind.AWAIT_EVENT, EffectKind.PEEK_AWAIT_EVENT))


@dataclass(frozen=True, slots=True)
class Divergence:
    """How an envelope differs from the recorded one.

    Attributes:
        count: paths that differ, were added or are gone.
        paths: at most ``NAMES_MAX`` of them, sorted; those that are gone have no name any more.
    """

    count: int
    paths: tuple[str, ...]


def canonical_envelope(envelope: RuntimeEffectEnvelope) -> dict[str, Any]:
    """The parts of an envelope that make it the same effect, as JSON; the command's arguments beside its kind."""
    invocation, command = envelope.invocation, envelope.command
    scope = {name: value for name, value in invocation.scope.__dict__.items() if value is not None}
    subject = invocation.subject
    args = command.args
    if command.kind in _KEYED and isinstance(args.get("key"), dict):
        # A signature changes when the secret is rotated; the key it signs does not.
        args = {**args, "key": {name: part for name, part in args["key"].items() if name != "signature"}}
    return {
        "command": {**args, "kind": command.kind.value},
        "invocation": {"effect_id": "" if subject is None else subject.effect_id, "scope": scope},
    }


def envelope_hash(envelope: RuntimeEffectEnvelope) -> str:
    """32 hex digits of SHA-256 over the canonical form. Raises: InvalidJsonError for arguments that are not JSON."""
    text = canonical_json(canonical_envelope(envelope), field="envelope")
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest_tree(envelope: RuntimeEffectEnvelope) -> str:
    """The digest tree as text, at most 683 characters."""
    return base64.b64encode(b"".join(_path_digest(path) + value for path, value in _digests(envelope))).decode()


def diverging(stored: str, envelope: RuntimeEffectEnvelope) -> Divergence:
    """Compare a stored tree with an envelope that is asked for now; an unreadable tree differs everywhere."""
    try:
        raw = base64.b64decode(stored, validate=True)
    except ValueError:
        raw = b""
    known = {raw[at : at + _PART_BYTES]: raw[at + _PART_BYTES : at + _ENTRY_BYTES] for at in _steps(raw)}
    named: list[str] = []
    for path, value in _digests(envelope):
        if known.pop(_path_digest(path), None) != value:
            named.append(path)
    return Divergence(len(named) + len(known), tuple(sorted(named)[:NAMES_MAX]))


def _steps(raw: bytes) -> range:
    return range(0, len(raw) - _ENTRY_BYTES + 1, _ENTRY_BYTES)


def _digests(envelope: RuntimeEffectEnvelope) -> Iterator[tuple[str, bytes]]:
    """Path and value digest of each leaf in the order of the canonical form, the rest folded into one."""
    leaves = list(_leaves(canonical_envelope(envelope), ""))
    if len(leaves) <= PATHS_MAX:
        yield from ((path, _digest(_text(value))) for path, value in leaves)
        return
    yield from ((path, _digest(_text(value))) for path, value in leaves[: PATHS_MAX - 1])
    yield REST, _digest("\n".join(f"{path}={_text(value)}" for path, value in leaves[PATHS_MAX - 1 :]))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name in sorted(value):
            yield from _leaves(value[name], f"{path}.{name}" if path else name)
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:_PART_BYTES]


def _path_digest(path: str) -> bytes:
    return _digest(path)
