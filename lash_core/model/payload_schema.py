"""Payload schemas of event types: JSON Schema, remote references refused, depth bounded."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from lash_core.errors import InvalidPayloadError, InvalidRegistrationError
from lash_core.model.canonical_json import canonical_json
from lash_core.model.event_type import ProcessEventType, accepts_any

SCHEMA_BYTES_MAX = 64 * 1024
"""Larger schemas are refused at registration: they travel with every row."""


def check_payload(event_type: ProcessEventType, payload: Any, *, process_id: str | None = None) -> None:
    """Check a payload against its event type's schema.

    Raises:
        InvalidPayloadError: ``invalid `T` payload: …``.
    """
    if accepts_any(event_type.payload_schema):
        return
    fault = schema_fault(event_type.payload_schema, payload)
    if fault is not None:
        raise InvalidPayloadError(event_type.name, fault.reason, process_id=process_id, field="payload" + fault.path)


class SchemaFault(NamedTuple):
    """Where a value does not fit its schema, why, and what stands there."""

    path: str
    reason: str
    value: Any = None


def schema_fault(schema: Any, value: Any) -> SchemaFault | None:
    """The first fault of ``value``, or None when it fits."""
    validator = _validator(canonical_json(schema))
    try:
        error = next(validator.iter_errors(value), None)
    except (Unresolvable, RecursionError) as failure:
        return SchemaFault("", f"the schema cannot be applied: {type(failure).__name__}")
    if error is None:
        return None
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return SchemaFault(path, error.message[:300], error.instance)


def check_schema(schema: Any, *, field: str) -> None:
    """Check that a schema is one.

    Raises:
        InvalidRegistrationError: not a JSON schema, or larger than ``SCHEMA_BYTES_MAX``.
    """
    if accepts_any(schema):
        return
    text = canonical_json(schema, field=field)
    if len(text) > SCHEMA_BYTES_MAX:
        raise InvalidRegistrationError(
            f"{field}: the schema has {len(text)} bytes; the limit is {SCHEMA_BYTES_MAX}",
            field=field,
            limit=SCHEMA_BYTES_MAX,
        )
    fault = _schema_text_fault(text)
    if fault is not None:
        raise InvalidRegistrationError(f"{field}: {fault}", field=field)


@lru_cache(maxsize=512)
def _schema_text_fault(schema_text: str) -> str | None:
    # Cached by text: the same kinds are registered again and again, and this check costs milliseconds.
    schema = json.loads(schema_text)
    if not isinstance(schema, bool | dict):
        return 'not a JSON schema: it must be an object, true, false or "any"'
    outside = _outside_reference(schema)
    if outside is not None:
        return f"refers to {outside[:120]!r}; only references into the schema itself (`#…`) are allowed"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"not a JSON schema: {error.message[:200]}"
    return None


def _outside_reference(schema: Any) -> str | None:
    if isinstance(schema, list):
        return next((found for item in schema if (found := _outside_reference(item))), None)
    if not isinstance(schema, dict):
        return None
    for name, value in schema.items():
        if name in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
            return value
        found = _outside_reference(value)
        if found is not None:
            return found
    return None


@lru_cache(maxsize=512)
def _validator(schema_text: str) -> Draft202012Validator:

    # An empty registry: a reference to anything outside the schema cannot be fetched.
    return Draft202012Validator(json.loads(schema_text), registry=Registry())
