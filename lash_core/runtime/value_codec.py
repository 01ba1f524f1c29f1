"""Encodes what functions return as JSON values, without losing anything silently, and decodes it again."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from lash_core.errors import InvalidJsonError
from lash_core.model.base import JsonValue
from lash_core.model.canonical_json import check_json


class ResultCodec:
    """Encodes results.

    Args:
        adapter: of the return annotation; of ``Any`` where there is none.
        declared: False where there is none: nothing is validated, and keys that are no strings are refused.
    """

    def __init__(self, adapter: TypeAdapter[Any], *, declared: bool) -> None:
        self._adapter = adapter
        self._declared = declared

    @property
    def is_declared(self) -> bool:
        """False where there is no annotation: values are plain JSON."""
        return self._declared

    def encode(self, value: Any) -> JsonValue:
        """The JSON value of a result, a copy of its own.

        Raises:
            ValidationError: not what the annotation says. PydanticSerializationError, InvalidJsonError: not JSON.
        """
        if self._declared:
            value = self._adapter.validate_python(value)
        encoded = self._adapter.dump_python(value, mode="json", by_alias=True, warnings=False)
        # pydantic writes null for NaN, and text for keys of other types: both would be a silent change of the result.
        if self._declared:
            if _has_null(encoded):
                _refuse_changes(self._adapter.dump_python(value, warnings=False), "result", keys=False)
        elif not _is_plain(value):
            _refuse_changes(self._adapter.dump_python(value, warnings=False), "result", keys=True)
        check_json(encoded, field="result")
        return encoded

    def decode(self, text: str) -> Any:
        """The value of an encoded result's JSON text; as JSON where nothing is declared.

        Raises:
            ValidationError: not what the annotation says any more.
        """
        return self._adapter.validate_json(text) if self._declared else json.loads(text)

    @property
    def schema(self) -> JsonValue:
        """Its JSON schema; None when everything is allowed or no schema can be made."""
        return schema_of(self._adapter, "serialization") if self._declared else None


def schema_of(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> Any:
    """The JSON schema of a type, or None when it has none."""
    try:
        return adapter.json_schema(mode=mode)
    except PydanticInvalidForJsonSchema:
        return None


def _is_plain(value: Any) -> bool:
    try:
        check_json(value)
    except InvalidJsonError:
        return False
    return True


def _has_null(encoded: Any) -> bool:
    if isinstance(encoded, dict):
        return any(_has_null(item) for item in encoded.values())
    if isinstance(encoded, list):
        return any(_has_null(item) for item in encoded)
    return encoded is None


def _refuse_changes(value: Any, path: str, *, keys: bool) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidJsonError(f"{path}: {value} is not JSON", field=path, value=str(value))
    if isinstance(value, dict):
        for key, item in value.items():
            if keys and not isinstance(key, str):
                raise InvalidJsonError(f"{path}: key {key!r} is not a string", field=path, value=repr(key))
            _refuse_changes(item, f"{path}.{key}", keys=keys)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            _refuse_changes(item, f"{path}[{index}]", keys=keys)
