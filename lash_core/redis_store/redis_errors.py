"""What servers and connections say, as lash's errors. No text carries a password.

The first word of an error reply is its code. A refused command has written nothing, so its error is a ``NotDoneError``;
only a lost reply leaves the outcome open.
"""

from __future__ import annotations

import re
import ssl

from redis.exceptions import ResponseError

from lash_core.errors import (
    LashError,
    OutcomeUnknownError,
    StoreAuthError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnreachableError,
    StoreVersionError,
)
from lash_core.redis_store.redact import redact_url

TRANSIENT = frozenset({"LOADING", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK"})
"""Refusals that pass by themselves; repeated until the deadline."""

AUTH = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})

_SCRIPT_PLACE = re.compile(r"\s*script: [0-9a-f]{40}, on .*$", re.DOTALL)
_SCRIPT_DENIED = re.compile(r"ACL failure in script|[Tt]he user executing the script can't")
"""How servers say inside a script what they say with NOPERM outside: since Redis 7.2, and in 7.0."""

_TEXT_CHARACTERS_MAX = 300


def error_code(error: BaseException) -> str:
    """The first word of an error reply: ``OOM``, ``NOSCRIPT``, ``ERR``."""
    return str(error).partition(" ")[0]


def is_transient(error: BaseException) -> bool:
    """True for a refusal that passes by itself."""
    return error_code(error) in TRANSIENT


def refusal(error: BaseException, where: str) -> LashError:
    """An error reply of the server at ``where`` as one of ours."""
    code = error_code(error)
    text = redact_url(_SCRIPT_PLACE.sub("", str(error)))[:_TEXT_CHARACTERS_MAX]
    match code:
        case "WRONGPASS" | "NOAUTH":
            hint = "check user and password of LASH_REDIS_URL"
            return StoreAuthError(f"{where} refused the credentials ({text}); {hint}", field="redis_url", value=where)
        case _ if code == "NOPERM" or _SCRIPT_DENIED.search(text):
            hint = "`lash acl print` shows what a role needs"
            return StoreAuthError(f"{where}: permission missing ({text}); {hint}", field="redis_url", value=where)
        case "OOM":
            return StoreFullError(
                f"{where} is out of memory (maxmemory reached): reads, completions and prune still work; give it more "
                "memory or prune finished work",
                field="maxmemory",
                value=where,
            )
        case "READONLY":
            return StoreReadOnlyError(f"{where} is a read-only replica; use its master", field="redis_url", value=where)
        case "NOREPLICAS":
            return StoreReadOnlyError(
                f"{where} takes no writes: fewer replicas than its min-replicas-to-write are connected",
                field="min-replicas-to-write",
                value=where,
            )
        case "MISCONF":
            return StoreReadOnlyError(
                f"{where} takes no writes: it cannot save to disk ({text})", field="redis_url", value=where
            )
        case _ if "unknown command" in text.lower() or "unknown redis command" in text.lower():
            return StoreVersionError(
                f"{where} lacks a command that lash needs ({text}); Redis 7.0 or Valkey 7.2 is the oldest",
                field="redis_url",
                value=where,
            )
        case _ if code in TRANSIENT:
            return StoreUnreachableError(f"{where} does not serve now: {text}", field="redis_url", value=where)
        case _:
            return StoreRefusedError(f"{where} refused: {text}", field="redis_url", value=where)


def unreachable(where: str, reason: str) -> StoreUnreachableError:
    """The server could not be reached, nothing was written."""
    return StoreUnreachableError(f"{where} cannot be reached: {redact_url(reason)}", field="redis_url", value=where)


def reply_lost(where: str, reason: str) -> OutcomeUnknownError:
    """A request was sent and its reply lost."""
    return OutcomeUnknownError(
        f"{where}: the reply was lost ({redact_url(reason)}); the write may have happened: repeat the same request or "
        "read back",
        field="redis_url",
        value=where,
    )


def unconfirmed(where: str, reason: str) -> OutcomeUnknownError:
    """A write was done and is not as safe as was asked for."""
    return OutcomeUnknownError(
        f"{where}: {redact_url(reason)}; the write may be lost again: repeat the same request or read back",
        field="LASH_DURABILITY",
        value=where,
    )


def connect_refusal(error: BaseException, where: str) -> LashError | None:
    """The error of a failed connect when trying again cannot help, else None."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return StoreRefusedError(
            f"{where}: the server's certificate was not accepted ({error.verify_message}); name its authority with "
            "?ssl_ca_certs=<file> in the URL",
            field="redis_url",
            value=where,
        )
    if isinstance(error, ResponseError) and not is_transient(error) and "max number of clients" not in str(error):
        return refusal(error, where)
    return error if isinstance(error, LashError) else None


def connect_reason(error: BaseException) -> str:
    """Why a connect failed, in few words and without secrets."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'the server does not speak it'})"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact_url(str(text))[:_TEXT_CHARACTERS_MAX]
