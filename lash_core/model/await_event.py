"""Await-event keys: promises that outside code resolves (``docs/contracts/processes.md`` 5.5).

A key is a bearer capability: whoever has it may resolve the promise once. All its parts are signed.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from lash_core.errors import RuntimeFailure
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.execution_scope import ExecutionScope

INVALID_WAIT_IDENTITY = "invalid_await_event_wait_identity"
UNKNOWN_OR_REVOKED = "await_event_unknown_or_revoked"

WaitKind = Literal["tool_completion", "process_signal", "turn_cancel_gate", "turn_terminal", "custom"]


@dataclass(frozen=True, slots=True)
class WaitIdentity:
    """What is waited for inside a scope. Build it with one of the five factories."""

    kind: WaitKind
    parts: tuple[str, ...] = ()
    ordinal: int | None = None

    @classmethod
    def tool_completion(cls, call_id: str) -> WaitIdentity:
        """The late answer of a tool call."""
        return cls("tool_completion", (call_id,)).validated()

    @classmethod
    def process_signal(cls, process_id: str, name: str, ordinal: int) -> WaitIdentity:
        """The n-th signal of a name, n from 1."""
        return cls("process_signal", (process_id, name), ordinal).validated()

    @classmethod
    def turn_cancel_gate(cls) -> WaitIdentity:
        """A turn's cancel gate."""
        return cls("turn_cancel_gate")

    @classmethod
    def turn_terminal(cls) -> WaitIdentity:
        """A turn's end."""
        return cls("turn_terminal")

    @classmethod
    def custom(cls, key: str) -> WaitIdentity:
        """Anything a program names."""
        return cls("custom", (key,)).validated()

    @property
    def is_turn_control(self) -> bool:
        """Turn control is never swept with its session's other waits."""
        return self.kind in ("turn_cancel_gate", "turn_terminal")

    def validated(self) -> WaitIdentity:
        """Return self when no part is blank and the ordinal, if any, is at least 1.

        Raises:
            RuntimeFailure: ``invalid_await_event_wait_identity``.
        """
        if not all(part.strip() for part in self.parts) or (self.ordinal is not None and self.ordinal < 1):
            raise RuntimeFailure(INVALID_WAIT_IDENTITY, f"`{self.kind}` needs non-empty parts and an ordinal from 1")
        return self

    def to_json_value(self) -> list[str | int]:
        """The identity as JSON, for keys and signatures."""
        ordinal: list[str | int] = [] if self.ordinal is None else [self.ordinal]
        return [self.kind, *self.parts, *ordinal]


@dataclass(frozen=True, slots=True)
class AwaitEventKey:
    """A signed key of one promise."""

    scope: ExecutionScope
    wait: WaitIdentity
    key_id: str
    signature: str

    @classmethod
    def mint(cls, scope: ExecutionScope, wait: WaitIdentity, secret: bytes) -> AwaitEventKey:
        """Make the key: pure and deterministic, nothing is stored. Raises: RuntimeFailure for a blank scope."""
        scope.validated()
        key_id = hashlib.sha256(canonical_json_bytes([scope.to_json_value(), wait.to_json_value()])).hexdigest()
        return cls(scope, wait, key_id, _sign(scope, wait, key_id, secret))

    def is_authentic(self, secret: bytes) -> bool:
        """True when every part is as minted; compared in constant time."""
        expected = AwaitEventKey.mint(self.scope, self.wait, secret)
        same_id = hmac.compare_digest(expected.key_id, self.key_id)
        return hmac.compare_digest(expected.signature, self.signature) and same_id


def _sign(scope: ExecutionScope, wait: WaitIdentity, key_id: str, secret: bytes) -> str:
    message = canonical_json_bytes([scope.to_json_value(), wait.to_json_value(), key_id])
    return hmac.new(secret, message, hashlib.sha256).hexdigest()


class Resolution(Model):
    """How a promise ended; the first resolution wins."""

    type: Literal["ok", "err", "timeout", "cancelled"] = Field(kw_only=False)
    value: JsonValue = None
    code: str | None = None
    message: str | None = None

    @classmethod
    def ok(cls, value: JsonValue = None) -> Resolution:
        """With a value."""
        return cls(type="ok", value=value)

    @classmethod
    def err(cls, code: str, message: str) -> Resolution:
        """With an error."""
        return cls(type="err", code=code, message=message)

    @classmethod
    def timeout(cls) -> Resolution:
        """Nobody resolved it in time."""
        return cls(type="timeout")

    @classmethod
    def cancelled(cls) -> Resolution:
        """Nobody is to resolve it any more."""
        return cls(type="cancelled")


@dataclass(frozen=True, slots=True)
class Accepted:
    """The resolution stands."""


@dataclass(frozen=True, slots=True)
class AlreadyResolved:
    """Another resolution came first."""

    terminal: Resolution


@dataclass(frozen=True, slots=True)
class UnknownOrRevoked:
    """No such key, or its session is gone; a forged key gets the same answer."""


ResolveOutcome = Accepted | AlreadyResolved | UnknownOrRevoked
