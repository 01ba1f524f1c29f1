"""How a start request is made: manifest, params, registration (DESIGN 6, decisions 14 and 17)."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, TypedDict

from pydantic import BaseModel, TypeAdapter

from lash_core.clock import own_time_ms
from lash_core.errors import InvalidArgumentError, UnknownKindError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.ids import check_id, check_queue
from lash_core.model.limits import Limits
from lash_core.model.manifest import KindManifest
from lash_core.model.payload_schema import schema_fault
from lash_core.model.process_input import EngineInput, ExternalInput, ProcessIdentity
from lash_core.model.record import ProcessRecord
from lash_core.model.registration import ProcessRegistration
from lash_core.model.scope import HostOriginator, ProcessProvenance, SessionScope
from lash_core.store.client_stores import DeclaredKinds
from lash_core.store.fleet_directory import FleetDirectory

_ANY: TypeAdapter[Any] = TypeAdapter(Any)

MANIFEST_CACHE_MS = 30_000
"""How long a manifest from the directory is believed: a deploy is seen within half a minute, a burst asks once."""

_CACHED_KINDS_MAX = 10_000


class EnqueueOptions(TypedDict, total=False):
    """What a start may say beside kind, params and id; an option that is None counts as absent.

    label: text for lists. queue: another than the kind's. at_ms: due time, ms since the epoch by the server's clock;
    delay_ms: due that long after the server has it; not both. disposition: for a kind without a manifest.
    timeout_ms: another than the kind's. wake_target: the session that wake events go to. scope: opaque label of the
    host originator, for grouping.
    """

    label: str | None
    queue: str | None
    at_ms: int | None
    delay_ms: int | None
    disposition: RecoveryDisposition | str | None
    timeout_ms: int | None
    wake_target: SessionScope | None
    scope: str | None


def as_json(value: Any) -> Any:
    """Params or a signal's payload as JSON: pydantic models and dataclasses as objects, anything else as it is."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if is_dataclass(value) and not isinstance(value, type):
        return _ANY.dump_python(value, mode="json", by_alias=True)
    return value


_OPTIONS = frozenset(EnqueueOptions.__annotations__)


def new_process_id() -> str:
    """A fresh id that sorts by its time of birth: the UUID version 7 form, sub-millisecond time in its 12 bits."""
    now_ns = time.time_ns()
    ms, rest_ns = divmod(now_ns, 1_000_000)
    value = (ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (rest_ns * 4_096 // 1_000_000) << 64 | 0b10 << 62
    text = f"{value | secrets.randbits(62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class KindResolver:
    """Finds a kind's manifest: the app, then the directory (cached 30 s), then an explicit disposition."""

    def __init__(self, directory: FleetDirectory | None, app: DeclaredKinds | None) -> None:
        self._directory = directory
        self._declared: Mapping[str, KindManifest] = {} if app is None else app.manifests()
        self._cached: dict[str, tuple[float, KindManifest]] = {}

    async def resolve(self, kind: str, disposition: RecoveryDisposition | str | None = None) -> KindManifest:
        """The manifest to start this kind with. Reads at most one key.

        Raises:
            InvalidArgumentError: a bad kind or disposition, or a disposition that contradicts the manifest.
            UnknownKindError: no manifest is known and no disposition was given.
        """
        check_id(kind, field="kind", subject="process kind")
        wanted = None if disposition is None else parse_disposition(disposition)
        manifest = self._declared.get(kind) or await self._from_directory(kind)
        if manifest is None and wanted is None:
            raise UnknownKindError(
                f"process kind `{kind}` is unknown. Three ways out: start a worker whose app declares it; name the app "
                "(app=, --app MODULE:ATTR); or say how it recovers (disposition=, --disposition rerunnable)",
                field="kind",
                value=kind,
            )
        if manifest is None:
            return KindManifest(kind=kind, disposition=wanted or RecoveryDisposition.RERUNNABLE)
        if wanted is not None and wanted is not manifest.disposition:
            raise InvalidArgumentError(
                f"disposition `{wanted}` contradicts the manifest of kind `{kind}`, which is `{manifest.disposition}`",
                field="disposition",
                value=str(wanted),
                limit=str(manifest.disposition),
            )
        return manifest

    async def _from_directory(self, kind: str) -> KindManifest | None:
        now_ms = own_time_ms()
        cached = self._cached.get(kind)
        if cached is not None and now_ms - cached[0] < MANIFEST_CACHE_MS:
            return cached[1]
        manifest = None if self._directory is None else await self._directory.get_kind(kind)
        if manifest is None:
            self._cached.pop(kind, None)
        elif len(self._cached) < _CACHED_KINDS_MAX or kind in self._cached:
            self._cached[kind] = (now_ms, manifest)
        return manifest


def parse_disposition(value: RecoveryDisposition | str) -> RecoveryDisposition:
    """The disposition of that name. Raises: InvalidArgumentError naming the three."""
    try:
        return RecoveryDisposition(value)
    except ValueError as error:
        names = ", ".join(member.value for member in RecoveryDisposition)
        raise InvalidArgumentError(
            f"disposition {value!r} must be one of {names}", field="disposition", value=value
        ) from error


class StartPlan:
    """Everything about a start that does not vary over the items of one ``enqueue_many``."""

    def __init__(self, manifest: KindManifest, options: EnqueueOptions, limits: Limits | None) -> None:
        unknown = options.keys() - _OPTIONS
        if unknown:
            raise TypeError(f"enqueue() has no option {', '.join(sorted(unknown))}")
        if options.get("at_ms") is not None and options.get("delay_ms") is not None:
            raise InvalidArgumentError("at_ms and delay_ms exclude each other", field="delay_ms")
        self._manifest = manifest
        self._limits = limits
        self._external = manifest.disposition is RecoveryDisposition.EXTERNALLY_OWNED
        queue, timeout_ms = options.get("queue"), options.get("timeout_ms")
        self._shared: dict[str, Any] = {
            "identity": ProcessIdentity(kind=manifest.kind, label=options.get("label")),
            "disposition": manifest.disposition,
            "event_types": manifest.all_event_types(),
            "provenance": ProcessProvenance(originator=HostOriginator(scope=options.get("scope") or None)),
            "env_ref": None if self._external else EMPTY_ENV_REF,
            "wake_target": options.get("wake_target"),
            "queue": check_queue(manifest.queue if queue is None else queue),
            "due_at_ms": options.get("at_ms"),
            "delay_ms": options.get("delay_ms"),
            "timeout_ms": manifest.timeout_ms if timeout_ms is None else timeout_ms,
            "app_version": manifest.app_version,
            "version_pin": manifest.version_pin,
            "retry_policy": manifest.retry_policy,
        }

    def registration(self, process_id: str, params: Any) -> ProcessRegistration:
        """The registration of one item, checked as far as the manifest says; the registry checks the rest.

        Raises:
            InvalidArgumentError: params that do not match the kind's schema, with their path.
            InvalidJsonError: params that are not JSON. LimitExceededError: params over the payload limit.
        """
        payload = as_json(params)
        size = json_size(payload)
        if self._limits is not None:
            self._limits.check_payload_size(size, field="params", process_id=process_id)
        check_params(self._manifest, payload)
        kind = self._manifest.kind
        run = (
            ExternalInput.model_construct(type="external", metadata={} if payload is None else payload)
            if self._external
            else EngineInput.model_construct(type="engine", kind=kind, payload=payload)
        )
        return ProcessRegistration.model_construct(id=process_id, input=run, **self._shared)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_size(params: Any) -> int:
    """Bytes of the params as JSON. Raises: InvalidJsonError with the path of what is not JSON."""
    try:
        return len(_ENCODER.encode(params).encode())
    except (ValueError, TypeError, RecursionError):
        # The slow check knows the path. Keys that are no strings pass here and are the registry's to refuse.
        return len(canonical_json(params, field="params").encode())


def check_params(manifest: KindManifest, params: Any) -> None:
    """Check params against the kind's schema, when it is known.

    Raises:
        InvalidArgumentError: ``field`` is the path of the first fault, as in ``params.month``.
    """
    if manifest.params_schema is None:
        return
    fault = schema_fault(manifest.params_schema, params)
    if fault is not None:
        raise InvalidArgumentError(
            f"params of kind `{manifest.kind}` do not match: params{fault.path}: {fault.reason}",
            field=f"params{fault.path}",
            value=fault.value if isinstance(fault.value, str | int | float) else None,
        )


def same_request(record: ProcessRecord, registration: ProcessRegistration) -> bool:
    """Decision 17: same kind, payload and label means the same request, though the manifest may have changed since."""
    return (
        record.identity.kind == registration.resolved_identity.kind
        and record.identity.label == registration.resolved_identity.label
        and record.input.type == registration.input.type
        and canonical_json(record.input.model_dump(mode="json", by_alias=True))
        == canonical_json(registration.input.model_dump(mode="json", by_alias=True))
    )


def requester() -> str:
    """Who asks, for the audit: ``<user>@<host>:<pid>``; the uid where the user has no name."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}:{os.getpid()}"
