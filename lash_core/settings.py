"""Settings: frozen models, filled from the environment in one place (``lash config show`` prints them)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from lash_core.errors import InvalidArgumentError, SettingsError
from lash_core.model.base import Model
from lash_core.model.ids import check_namespace
from lash_core.model.limits import Limits
from lash_core.model.session_observation import LiveReplayConfig

Durability = Literal["fast", "fsync", "replicated"]


class StoreSettings(Model):
    """How the stores talk to Redis.

    ``partitions`` None adopts the namespace's layout (64 when this client creates it); another number than the stored
    one is an error. ``failover_grace_ms`` None follows the rule of DESIGN 3.3 rule 5; 0 turns the guard off.
    ``signing_key`` signs await-event keys in place of the namespace's own secret: at least 16 characters, and
    ``<new>;<old>`` while keys that the old one signed are still about.
    ``live_replay`` bounds what a session that is watched keeps in Redis.
    ``attachments_dir`` is a folder for large attachments that every machine of the fleet sees; None keeps them small.
    """

    namespace: str = "lash"
    partitions: int | None = None
    durability: Durability = "fast"
    replicas_min: int = Field(default=1, ge=1, le=16)
    connect_timeout_ms: int = Field(default=5_000, ge=50)
    call_timeout_ms: int = Field(default=5_000, ge=50)
    retry_deadline_ms: int = Field(default=15_000, ge=0)
    connections_max: int = Field(default=32, ge=2)
    failover_grace_ms: int | None = Field(default=None, ge=0)
    limits: Limits = Field(default_factory=Limits)
    live_replay: LiveReplayConfig = Field(default_factory=LiveReplayConfig)
    insecure_tls: bool = False
    signing_key: str | None = Field(default=None, repr=False)
    attachments_dir: str | None = None


class EmbeddedSettings(Model):
    """The private server: whether it may be used, where its data is, which binary."""

    enabled: bool = True
    data_dir: str = ".lash"
    server_bin: str | None = None
    appendfsync: Literal["everysec", "always"] = "everysec"


class Settings(Model):
    """Everything lash reads from the environment.

    ``isolation_redis_url`` is the server of the work-horses' queue; None gives each worker a private one.
    ``model_base_url`` and ``model_api_key`` are those of an OpenAI-compatible model server, where an app gives none.
    ``web_token`` lets its bearer ask ``lash serve``.
    """

    redis_url: str | None = Field(default=None, repr=False)
    isolation_redis_url: str | None = Field(default=None, repr=False)
    store: StoreSettings = Field(default_factory=StoreSettings)
    embedded: EmbeddedSettings = Field(default_factory=EmbeddedSettings)
    retention_hours: float | None = Field(default=None, gt=0)
    park_after_ms: int = Field(default=5_000, ge=0)
    record_tracebacks: bool = False
    model_base_url: str | None = None
    model_api_key: str | None = Field(default=None, repr=False)
    web_token: str | None = Field(default=None, repr=False)


# One row a variable: name, path in Settings, kind. A secret is text that is never shown.
ENVIRONMENT: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("LASH_REDIS_URL", ("redis_url",), "text"),
    ("LASH_ISOLATION_REDIS_URL", ("isolation_redis_url",), "text"),
    ("LASH_NAMESPACE", ("store", "namespace"), "text"),
    ("LASH_PARTITIONS", ("store", "partitions"), "int"),
    ("LASH_DURABILITY", ("store", "durability"), "text"),
    ("LASH_REPLICAS_MIN", ("store", "replicas_min"), "int"),
    ("LASH_CONNECT_TIMEOUT_MS", ("store", "connect_timeout_ms"), "int"),
    ("LASH_CALL_TIMEOUT_MS", ("store", "call_timeout_ms"), "int"),
    ("LASH_RETRY_DEADLINE_MS", ("store", "retry_deadline_ms"), "int"),
    ("LASH_CONNECTIONS_MAX", ("store", "connections_max"), "int"),
    ("LASH_FAILOVER_GRACE_MS", ("store", "failover_grace_ms"), "int"),
    ("LASH_PAYLOAD_BYTES_MAX", ("store", "limits", "payload_bytes_max"), "int"),
    ("LASH_EVENTS_MAX", ("store", "limits", "events_max"), "int"),
    ("LASH_LOG_BYTES_MAX", ("store", "limits", "log_bytes_max"), "int"),
    ("LASH_LIVE_EVENTS_MAX", ("store", "live_replay", "max_events_per_session"), "int"),
    ("LASH_LIVE_AGE_MS_MAX", ("store", "live_replay", "max_age_ms"), "int"),
    ("LASH_LIVE_BYTES_MAX", ("store", "live_replay", "max_bytes_per_session"), "int"),
    ("LASH_INSECURE_TLS", ("store", "insecure_tls"), "bool"),
    ("LASH_SIGNING_KEY", ("store", "signing_key"), "secret"),
    ("LASH_ATTACHMENTS_DIR", ("store", "attachments_dir"), "text"),
    ("LASH_EMBEDDED", ("embedded", "enabled"), "bool"),
    ("LASH_DATA_DIR", ("embedded", "data_dir"), "text"),
    ("LASH_REDIS_SERVER_BIN", ("embedded", "server_bin"), "text"),
    ("LASH_EMBEDDED_APPENDFSYNC", ("embedded", "appendfsync"), "text"),
    ("LASH_RETENTION_HOURS", ("retention_hours",), "float"),
    ("LASH_PARK_AFTER_MS", ("park_after_ms",), "int"),
    ("LASH_RECORD_TRACEBACKS", ("record_tracebacks",), "bool"),
    ("LASH_MODEL_BASE_URL", ("model_base_url",), "text"),
    ("LASH_MODEL_API_KEY", ("model_api_key",), "secret"),
    ("LASH_WEB_TOKEN", ("web_token",), "secret"),
)
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment.

    Raises:
        SettingsError: names the variable, the value and what is allowed.
    """
    source = os.environ if environ is None else environ
    tree: dict[str, Any] = {}
    for name, path, kind in ENVIRONMENT:
        text = source.get(name, "").strip()
        if text:
            _put(tree, path, _parse(name, text, kind))
    try:
        settings = Settings.model_validate(tree)
        check_namespace(settings.store.namespace, field="LASH_NAMESPACE")
    except ValidationError as error:
        first = error.errors()[0]
        variable = _variable_of(tuple(str(part) for part in first["loc"]))
        raise SettingsError(
            f"{variable} is {first['input']!r}: {first['msg']}", field=variable, value=str(first["input"])
        ) from error
    except InvalidArgumentError as error:
        raise SettingsError(error.message, field=error.field, value=error.value, limit=error.limit) from error
    return settings


def _parse(name: str, text: str, kind: str) -> Any:
    try:
        if kind == "bool":
            return _BOOLEANS[text.lower()]
        return {"int": int, "float": float, "text": str, "secret": str}[kind](text)
    except (ValueError, KeyError) as error:
        wanted = {"bool": "1 or 0", "int": "a whole number", "float": "a number"}[kind]
        raise SettingsError(f"{name} is {text!r}; it must be {wanted}", field=name, value=text) from error


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    tree[path[-1]] = value


def _variable_of(path: tuple[str, ...]) -> str:
    for name, candidate, _ in ENVIRONMENT:
        if candidate == path:
            return name
    return ".".join(path)
