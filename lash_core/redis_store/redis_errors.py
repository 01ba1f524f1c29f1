"""What redis-py and the server say, as lash's errors. No text carries a password."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from redis import exceptions as redis_errors

from lash_core.errors import (
    LashError,
    OutcomeUnknownError,
    StoreAuthError,
    StoreFullError,
    StoreReadOnlyError,
    StoreRefusedError,
    StoreUnreachableError,
)

TRANSIENT = ("LOADING", "BUSY ", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "MOVED", "ASK")
"""Beginnings of refusals that pass by themselves; repeated until the deadline."""

_AUTH = ("NOAUTH", "WRONGPASS", "NOPERM")


def redact_url(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = parts.username or ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))


def is_transient(error: BaseException) -> bool:
    """True for a refusal that passes by itself."""
    return isinstance(error, redis_errors.RedisError) and str(error).startswith(TRANSIENT) or isinstance(
        error, redis_errors.BusyLoadingError | redis_errors.TryAgainError | redis_errors.ClusterDownError
    )


def refusal(error: redis_errors.ResponseError | redis_errors.RedisError, where: str) -> LashError:
    """An error reply of the server as one of ours: nothing was written."""
    text = re.sub(r"\s*script: [0-9a-f]+.*$", "", str(error))
    if text.startswith(_AUTH) or isinstance(
        error, redis_errors.AuthenticationError | redis_errors.NoPermissionError | redis_errors.AuthorizationError
    ):
        return StoreAuthError(f"{where} refused the credentials: {text}", field="redis_url", value=where)
    if "OOM" in text[:60] or isinstance(error, redis_errors.OutOfMemoryError):
        return StoreFullError(f"{where} is out of memory (maxmemory); finish or prune work, or give it more")
    if "READONLY" in text[:60] or "NOREPLICAS" in text[:60] or isinstance(error, redis_errors.ReadOnlyError):
        return StoreReadOnlyError(f"{where} does not accept writes: {text}", field="redis_url", value=where)
    return StoreRefusedError(f"{where} refused: {text}", field="redis_url", value=where)


def unreachable(where: str, error: BaseException) -> StoreUnreachableError:
    """The server could not be reached; nothing was sent."""
    return StoreUnreachableError(f"{where} cannot be reached: {_reason(error)}", field="redis_url", value=where)


def reply_lost(where: str, error: BaseException) -> OutcomeUnknownError:
    """The request was sent and the reply lost."""
    return OutcomeUnknownError(f"{where}: the reply was lost: {_reason(error)}", field="redis_url", value=where)


def _reason(error: BaseException) -> str:
    return re.sub(r"//[^@\s]*@", "//***@", str(error))[:200] or type(error).__name__
