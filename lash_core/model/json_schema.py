"""What the JSON Schema library says of schemas and of values. It is imported when the first schema is used.

To load the library takes a command line as long as all it does on the server.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from lash_core.model.payload_schema import SchemaFault


def first_fault(schema_text: str, value: Any) -> SchemaFault | None:
    """The first fault of ``value``, or None when it fits."""
    validator = _validator(schema_text)
    try:
        error = next(validator.iter_errors(value), None)
    except (Unresolvable, RecursionError) as failure:
        return SchemaFault("", f"the schema cannot be applied: {type(failure).__name__}")
    if error is None:
        return None
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return SchemaFault(path, error.message[:300], error.instance)


@lru_cache(maxsize=512)
def schema_text_fault(schema_text: str) -> str | None:
    """Why a text is no schema that is taken; None when it is one."""
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
