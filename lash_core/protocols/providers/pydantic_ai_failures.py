"""Errors of pydantic-ai and the libraries below it as typed failures. Imported when the adapter is first used."""

from __future__ import annotations

from typing import Any

from pydantic_ai import exceptions as pai

from lash_core.model.model_call import RETRYABLE_KINDS, ModelFailure, ProviderFailureKind

MESSAGE_CHARACTERS_MAX = 2_000
BODY_CHARACTERS_MAX = 4_000
"""Of a provider's error body, kept as evidence."""

CAUSES_MAX = 16
"""Errors below an error that are looked at."""

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "httpcore2", "anyio")
_KINDS: tuple[tuple[type[Exception], ProviderFailureKind], ...] = (
    (pai.ModelRateLimitError, "rate_limit"),
    # Waiting does not fill an account: no rate limit, whatever its status is.
    (pai.ModelQuotaExceededError, "auth"),
    (pai.ModelUnavailableError, "overloaded"),
    (pai.ModelServerError, "server"),
    (pai.ModelTimeoutError, "timeout"),
    (pai.ModelRequestTimeout, "timeout"),
    (pai.ModelConnectionError, "connection"),
    (pai.ModelContextWindowExceededError, "context_overflow"),
    (pai.ModelAuthenticationError, "auth"),
    (pai.ModelNotFoundError, "not_found"),
    (pai.ModelRequestRejectedError, "validation"),
    (pai.ContentFilterError, "content_filter"),
    # A broken stream of a provider, whose next answer may be whole.
    (pai.UnexpectedModelBehavior, "server"),
    (pai.UserError, "validation"),
)
_STATUS_KINDS: dict[int, ProviderFailureKind] = {408: "timeout", 409: "overloaded", 425: "overloaded"}


def failure_of(error: Exception, secrets: tuple[str, ...] = ()) -> ModelFailure:
    """The failure of an attempt.

    Args:
        error: what left the client library.
        secrets: are blotted out of every text: a server may repeat a key that it refuses.
    """
    kind = _kind_of(error)
    api = error if isinstance(error, pai.ModelAPIError) else None
    hint = error.provider_retry_hint if isinstance(error, pai.ModelHTTPError) else None
    retry_after = None if api is None else api.retry_after
    return ModelFailure(
        kind=kind,
        message=_blotted(_message_of(error), secrets)[:MESSAGE_CHARACTERS_MAX],
        code=_code_of(error),
        retryable=kind in RETRYABLE_KINDS if hint is None else hint and kind != "context_overflow",
        retry_after_ms=None if retry_after is None else int(max(0.0, retry_after) * 1_000),
        raw=_raw_of(error, secrets),
    )


def _kind_of(error: Exception) -> ProviderFailureKind:
    for types, kind in _KINDS:
        if isinstance(error, types):
            return kind
    if isinstance(error, pai.ModelHTTPError):
        return _STATUS_KINDS.get(error.status_code, "server" if error.status_code >= 500 else "validation")
    if isinstance(error, pai.ModelAPIError):
        # No status and no category: an error event in a stream, or a stream that ended without an end.
        return "server"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES:
        return "connection"
    return "unknown"


def _code_of(error: Exception) -> str | None:
    if isinstance(error, pai.ModelAPIError) and error.provider_error_code:
        return error.provider_error_code[:200]
    if isinstance(error, pai.ModelHTTPError):
        return f"http_{error.status_code}"
    return None


def _message_of(error: Exception) -> str:
    if isinstance(error, pai.ModelHTTPError):
        return f"HTTP {error.status_code}: {_body_message(error.body) or 'no reason given'}"
    text = str(error)
    said = text if isinstance(error, pai.ModelAPIError) and text else f"{type(error).__name__}: {text}"
    root: BaseException = error
    for _ in range(CAUSES_MAX):
        # The client says that there was no connection; what lies below says why.
        root = root.__cause__ or root.__context__ or root
    return said if str(root) in said else f"{said} ({type(root).__name__}: {root})"


def _body_message(body: object) -> str:
    facts: dict[str, Any] = body if isinstance(body, dict) else {}
    inner = facts.get("error")
    found = facts.get("message") or (inner.get("message") if isinstance(inner, dict) else inner)
    return str(found or body or "")


def _raw_of(error: Exception, secrets: tuple[str, ...]) -> dict[str, Any]:
    raw: dict[str, Any] = {"type": type(error).__name__}
    if isinstance(error, pai.ModelHTTPError):
        raw["status"] = error.status_code
    if isinstance(error, pai.ModelAPIError):
        if error.body is not None:
            raw["body"] = _blotted(str(error.body), secrets)[:BODY_CHARACTERS_MAX]
        if error.in_stream:
            raw["in_stream"] = True
    if error.__cause__ is not None:
        raw["cause"] = type(error.__cause__).__name__
    return raw


def _blotted(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
