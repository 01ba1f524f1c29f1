"""Values of steps: arguments as far as they are JSON, results as their annotation says."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import inspect
import math
import pathlib
import typing
import uuid
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Never, NoReturn

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import to_jsonable_python

from lash_core.errors import SettingsError
from lash_core.model.canonical_json import canonical_json
from lash_core.runtime.value_codec import ResultCodec

_SCALARS = (
    datetime.date,
    datetime.time,
    datetime.timedelta,
    decimal.Decimal,
    uuid.UUID,
    pathlib.PurePath,
    bytes,
)
_ANYTHING = (Any, object, inspect.Parameter.empty, Never, NoReturn)
_PLAIN = ResultCodec(TypeAdapter(Any), declared=False)
_DEPTH_MAX = 50
_CODECS: weakref.WeakKeyDictionary[Any, ResultCodec] = weakref.WeakKeyDictionary()


class NotJsonError(Exception):
    """A value that has no JSON which is the same in every program."""


def known_arguments(values: tuple[Any, ...]) -> list[Any]:
    """Arguments as JSON; None for one that has none: it is not part of what a replay compares."""
    return [_known(value) for value in values]


def known_keywords(values: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments as JSON, without those that have none."""
    encoded = {name: _known(value) for name, value in values.items()}
    return {name: value for name, value in encoded.items() if value is not None or values[name] is None}


def result_codec(function: Callable[..., Any]) -> ResultCodec:
    """How a function's result is encoded and decoded; by its return annotation where that can be resolved.

    Raises:
        SettingsError: the annotation is a type that is no data.
    """
    target = _annotated(function)
    try:
        found = _CODECS.get(target)
    except TypeError:
        return _made(target)
    if found is None:
        found = _made(target)
        try:
            _CODECS[target] = found
        except TypeError:
            return found
    return found


def name_of(function: Callable[..., Any]) -> str:
    """A function's name for texts."""
    return str(getattr(_annotated(function), "__qualname__", type(function).__name__))


def _annotated(function: Callable[..., Any]) -> Any:
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if inspect.ismethod(target):
        target = target.__func__
    elif not inspect.isroutine(target) and not inspect.isclass(target) and callable(target):
        # An object with a ``__call__``.
        target = type(target).__call__
    return inspect.unwrap(target)


def _made(target: Any) -> ResultCodec:
    annotation = _resolved(target)
    if annotation in _ANYTHING:
        return _PLAIN
    try:
        return ResultCodec(TypeAdapter(annotation), declared=True)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        text = str(error).split("\n", 1)[0]
        raise SettingsError(
            f"the return annotation of {name_of(target)} is a type that is no data: {text}", field="return"
        ) from error


def _resolved(target: Any) -> Any:
    """The return annotation; nothing where there is none, or where it cannot be resolved at run time."""
    annotations = getattr(target, "__annotations__", None)
    if not isinstance(annotations, dict) or "return" not in annotations:
        return Any
    holder = SimpleNamespace(__annotations__={"return": annotations["return"]})
    scope = getattr(target, "__globals__", {})
    try:
        return typing.get_type_hints(holder, scope, None, include_extras=True)["return"]
    except (NameError, TypeError, AttributeError, SyntaxError):
        # A name that only type checkers see, or one of a function's body: then the result is plain JSON.
        return Any


def _known(value: Any) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    try:
        found = _jsonable(value, 0)
        canonical_json(found)
    except Exception:  # noqa: BLE001 - whatever an object of the user's does when it is looked at
        return None
    return found


def _jsonable(value: Any, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise NotJsonError
    match value:
        case None | bool() | str() | int():
            return value.value if isinstance(value, enum.Enum) else value
        case float():
            if not math.isfinite(value):
                raise NotJsonError
            return value
        case enum.Enum():
            return _jsonable(value.value, depth + 1)
        case dict():
            return _jsonable_object(value, depth)
        case list() | tuple():
            return [_jsonable(item, depth + 1) for item in value]
        case set() | frozenset():
            # Their order differs from program to program.
            return sorted((_jsonable(item, depth + 1) for item in value), key=canonical_json)
        case BaseModel():
            return _jsonable_object(dict(value), depth)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            return _jsonable_object({field.name: getattr(value, field.name) for field in fields}, depth)
        case _ if isinstance(value, _SCALARS):
            return to_jsonable_python(value)
        case _:
            # An iterator, for one, would be used up by looking at it.
            raise NotJsonError


def _jsonable_object(value: dict[Any, Any], depth: int) -> dict[str, Any]:
    if not all(isinstance(name, str) for name in value):
        raise NotJsonError
    return {name: _jsonable(item, depth + 1) for name, item in value.items()}
