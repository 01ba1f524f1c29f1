"""Invocations of effects: their ids, causes and replay keys (contract 4.4, 4.5 and 5.1).

A replay key is deterministic: the same place of the same program asks under the same key in every attempt.
"""

from __future__ import annotations

import hashlib

from lash_core.model.effect import EffectKind, EffectSubject, RuntimeInvocation, RuntimeScope
from lash_core.model.event import Replay
from lash_core.model.ids import REPLAY_KEY_BYTES_MAX, signal_event_type

_KEPT_BYTES = 400
"""Of a key that is too long: enough of its beginning to recognise it, the digest of all of it behind."""


def process_sleep_invocation(
    session_id: str, parent: RuntimeInvocation | None, scope: str, sequence: int
) -> RuntimeInvocation:
    """A sleep: suffix ``process:<scope>:sleep:<sequence>``. An engine's scope is ``process:<pid>``."""
    return _inner(session_id, parent, EffectKind.SLEEP, f"process:{scope}:sleep:{sequence}")


def process_await_event_invocation(
    session_id: str, parent: RuntimeInvocation | None, process_id: str, signal_name: str, ordinal: int
) -> RuntimeInvocation:
    """A wait for a signal: suffix ``process:<pid>:signal.<name>:await:<ordinal>``.

    Raises:
        InvalidArgumentError: not a signal name.
    """
    suffix = f"process:{process_id}:{signal_event_type(signal_name)}:await:{ordinal}"
    return _inner(session_id, parent, EffectKind.AWAIT_EVENT, suffix)


def process_effect_invocation(session_id: str, parent: RuntimeInvocation | None, effect_id: str) -> RuntimeInvocation:
    """A process command: key ``<parent key>:<effect id>``, without a parent ``<session id>:<effect id>``.

    The effect id is the command's own; the parent's turn, if it has one, is the command's too.
    """
    if parent is None:
        return _invocation(RuntimeScope(session_id), effect_id, EffectKind.PROCESS, f"{session_id}:{effect_id}")
    scope = RuntimeScope(session_id)
    if parent.scope.turn_id is not None:
        scope = parent.scope.model_copy(update={"session_id": session_id})
    base = parent.replay_key or parent.effect_id or session_id
    return _invocation(scope, effect_id, EffectKind.PROCESS, f"{base}:{effect_id}", parent)


def turn_effect_invocation(scope: RuntimeScope, effect_id: str, kind: EffectKind) -> RuntimeInvocation:
    """An effect of a turn: key ``<sid>:<turn>:<turn index>:<iteration>:<kind>:<effect>``."""
    place = f"{scope.session_id}:{scope.turn_id or ''}:{scope.turn_index or 0}:{scope.protocol_iteration or 0}"
    return _invocation(scope, effect_id, kind, f"{place}:{kind.value}:{effect_id}")


def step_invocation(scope: RuntimeScope, step_id: str) -> RuntimeInvocation:
    """A step without a parent: its id is its key."""
    return _invocation(scope, step_id, EffectKind.DURABLE_STEP, step_id)


def child_effect_invocation(
    parent: RuntimeInvocation, effect_id: str, kind: EffectKind, suffix: str
) -> RuntimeInvocation:
    """An effect inside another one: in its scope, caused by it, key ``<parent key or effect id>:<suffix>``."""
    base = parent.replay_key or parent.effect_id or "effect"
    return _invocation(parent.scope, effect_id, kind, f"{base}:{suffix}", parent)


def _inner(session_id: str, parent: RuntimeInvocation | None, kind: EffectKind, suffix: str) -> RuntimeInvocation:
    """With a parent, ids and keys are the parent's plus the suffix; without, both are the suffix."""
    if parent is None:
        return _invocation(RuntimeScope(session_id), suffix, kind, suffix)
    return child_effect_invocation(parent, f"{parent.effect_id or 'effect'}:{suffix}", kind, suffix)


def _invocation(
    scope: RuntimeScope, effect_id: str, kind: EffectKind, key: str, parent: RuntimeInvocation | None = None
) -> RuntimeInvocation:
    return RuntimeInvocation(
        scope=scope,
        subject=EffectSubject(effect_id, kind),
        caused_by=None if parent is None else parent.causal_ref,
        replay=Replay(_bounded(key)),
    )


def _bounded(key: str) -> str:
    encoded = key.encode()
    if len(encoded) <= REPLAY_KEY_BYTES_MAX:
        return key
    return encoded[:_KEPT_BYTES].decode(errors="ignore") + "#" + hashlib.sha256(encoded).hexdigest()
