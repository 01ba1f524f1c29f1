"""Await-event keys: promises that outside code resolves (``docs/contracts/processes.md`` 5.5).

A key is a bearer capability: whoever has it may resolve the promise once. All its parts are signed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from lash_core.errors import InvalidArgumentError, InvalidJsonError, RuntimeFailure
from lash_core.model.base import JsonValue, Model
from lash_core.model.canonical_json import canonical_json_bytes
from lash_core.model.execution_scope import ExecutionScope

INVALID_WAIT_IDENTITY = "invalid_await_event_wait_identity"
UNKNOWN_OR_REVOKED = "await_event_unknown_or_revoked"

AWAIT_EVENT_UNSUPPORTED = "await_event_unsupported"
AWAIT_EVENT_CANCEL_UNSUPPORTED = "await_event_cancel_unsupported"

KEY_TEXT_VERSION = "lw1"
"""First part of a key as text; another form gets another one."""
TOKEN_CHARACTERS_MAX = 4_096
"""Longer text is no token: ids are bounded, so scope and identity are."""

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

    @classmethod
    def from_json_value(cls, value: Any) -> WaitIdentity:
        """The identity of its JSON.

        Raises:
            RuntimeFailure: a blank part or an ordinal below 1. ValueError: another form.
        """
        match value:
            case ["process_signal", str() as process_id, str() as name, int() as ordinal] if ordinal is not True:
                return cls.process_signal(process_id, name, ordinal)
            case [("tool_completion" | "custom") as kind, str() as part]:
                return cls(kind, (part,)).validated()
            case [("turn_cancel_gate" | "turn_terminal") as kind]:
                return cls(kind)
            case _:
                raise ValueError("no wait identity")


AwaitEventWaitIdentity = WaitIdentity
"""The name of the original."""


@dataclass(frozen=True, slots=True)
class AwaitEventKey:
    """A signed key of one promise. As text (``to_token``) it is a bearer capability: treat it like a password."""

    scope: ExecutionScope
    wait: WaitIdentity
    key_id: str
    signature: str

    @classmethod
    def mint(cls, scope: ExecutionScope, wait: WaitIdentity, secret: bytes) -> AwaitEventKey:
        """Make the key: pure and deterministic, nothing is stored. Raises: RuntimeFailure for a blank scope."""
        scope.validated()
        key_id = _key_id(scope, wait)
        return cls(scope, wait, key_id, _sign(scope, wait, key_id, secret))

    def is_authentic(self, secret: bytes) -> bool:
        """True when every part is as minted; compared in constant time."""
        expected = AwaitEventKey.mint(self.scope, self.wait, secret)
        same_id = hmac.compare_digest(expected.key_id.encode(), self.key_id.encode(errors="replace"))
        return hmac.compare_digest(expected.signature.encode(), self.signature.encode(errors="replace")) and same_id

    def to_json_value(self) -> dict[str, Any]:
        """The key as JSON, signature included."""
        return {
            "scope": self.scope.to_json_value(),
            "wait": self.wait.to_json_value(),
            "key_id": self.key_id,
            "signature": self.signature,
        }

    @classmethod
    def from_json_value(cls, value: Any) -> AwaitEventKey:
        """The key of a JSON value. It is not verified: a resolver does that.

        Raises:
            InvalidArgumentError: another form.
        """
        try:
            match value:
                case {"scope": scope, "wait": wait, "key_id": str() as key_id, "signature": str() as signature}:
                    parts = ExecutionScope.from_json_value(scope), WaitIdentity.from_json_value(wait)
                    return cls(*parts, key_id, signature)
                case _:
                    raise InvalidArgumentError("not an await-event key", field="key")
        except (ValueError, RuntimeFailure) as error:
            raise InvalidArgumentError("not an await-event key", field="key") from error

    def to_token(self) -> str:
        """The key as URL-safe text: ``lw1.<base64url of scope and identity>.<base64url of the signature>``."""
        body = canonical_json_bytes([self.scope.to_json_value(), self.wait.to_json_value()])
        return f"{KEY_TEXT_VERSION}.{_b64(body)}.{_b64(bytes.fromhex(self.signature))}"

    @classmethod
    def from_token(cls, token: str) -> AwaitEventKey:
        """The key behind a token. It is not verified: a resolver does that.

        Raises:
            InvalidArgumentError: no token, a cut one, or one of another version; the text never repeats the token.
        """
        version, _, rest = token.strip().partition(".")
        body, _, signature = rest.partition(".")
        if version != KEY_TEXT_VERSION or not body or not signature or len(token) > TOKEN_CHARACTERS_MAX:
            raise InvalidArgumentError(
                f"not an await-event token: it begins with `{KEY_TEXT_VERSION}.` and has three parts", field="token"
            )
        try:
            scope, wait = json.loads(_unb64(body))
            facts = {"scope": scope, "wait": wait, "key_id": "", "signature": _signature_of(signature)}
            key = cls.from_json_value(facts)
            return cls(key.scope, key.wait, _key_id(key.scope, key.wait), key.signature)
        except (ValueError, TypeError, RecursionError, InvalidJsonError, InvalidArgumentError) as error:
            raise InvalidArgumentError("the await-event token is damaged: was it cut?", field="token") from error


def _key_id(scope: ExecutionScope, wait: WaitIdentity) -> str:
    return hashlib.sha256(canonical_json_bytes([scope.to_json_value(), wait.to_json_value()])).hexdigest()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _signature_of(text: str) -> str:
    signature = _unb64(text)
    if len(signature) != hashlib.sha256().digest_size:
        raise ValueError("a signature of another length")
    return signature.hex()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


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
