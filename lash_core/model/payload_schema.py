"""Payload schemas of event types: JSON Schema, remote references refused, depth bounded."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    from lash_core.model.json_schema import first_fault  # noqa: PLC0415 - most programs never check one

    return first_fault(canonical_json(schema), value)


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
    from lash_core.model.json_schema import schema_text_fault  # noqa: PLC0415 - as above

    fault = schema_text_fault(text)
    if fault is not None:
        raise InvalidRegistrationError(f"{field}: {fault}", field=field)
