"""What a declared function takes and answers, from its annotations: validation, encoding, JSON schemas."""

from __future__ import annotations

import inspect
import json
import sys
import typing
from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace
from typing import Any, Never, NoReturn

from pydantic import BaseModel, TypeAdapter, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from lash_core.errors import SettingsError
from lash_core.model.base import JsonValue
from lash_core.runtime.value_codec import ResultCodec, schema_of

_ANYTHING = (Any, object, inspect.Parameter.empty)
NO_PARAMS_SCHEMA: JsonValue = {"anyOf": [{"type": "null"}, {"type": "object", "maxProperties": 0}]}
"""Params of a function that takes none."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class FunctionSignature:
    """A function's signature. Annotations are resolved when they are first needed, so names may be defined later.

    Args:
        function: the declared function.
        subject: how errors call it, as ``process `report.build```.
    """

    def __init__(self, function: Callable[..., Any], subject: str) -> None:
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise SettingsError(f"{subject}: a generator cannot be run; declare a plain or an async function")
        self.function = function
        self.subject = subject
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
        )
        self.parameters = tuple(inspect.signature(function).parameters.values())
        if not self.parameters or self.parameters[0].kind not in _POSITIONAL:
            raise SettingsError(f"{subject}: its function must take the context as first parameter")

    @cached_property
    def result(self) -> ResultCodec:
        """How its result is encoded. Raises: SettingsError for an annotation that cannot be used."""
        function = inspect.unwrap(self.function)
        annotation = getattr(function, "__annotations__", {}).get("return", inspect.Parameter.empty)
        resolved = self.resolve("return", annotation)
        if resolved in (Never, NoReturn):
            resolved = Any
        return ResultCodec(self.adapter("return", resolved), declared=resolved not in _ANYTHING)

    def resolve(self, name: str, annotation: Any) -> Any:
        """The type behind an annotation. Raises: SettingsError naming what is not defined."""
        function = inspect.unwrap(self.function)
        holder = SimpleNamespace(__annotations__={name: annotation})
        if annotation is inspect.Parameter.empty:
            return annotation
        try:
            return typing.get_type_hints(holder, getattr(function, "__globals__", {}), None, include_extras=True)[name]
        except (NameError, TypeError, AttributeError) as error:
            raise SettingsError(
                f"{self.subject}: the annotation of `{name}` cannot be resolved: {error}; it must be importable at run "
                "time from the module of the function",
                field=name,
                value=str(annotation),
            ) from error

    def adapter(self, name: str, annotation: Any) -> TypeAdapter[Any]:
        """The type adapter of a resolved annotation. Raises: SettingsError for a type that is no data."""
        try:
            return TypeAdapter(Any if annotation in _ANYTHING else annotation)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            text = str(error).split("\n", 1)[0]
            raise SettingsError(
                f"{self.subject}: `{name}` has a type that is no JSON data: {text}", field=name
            ) from error


class ProcessSignature(FunctionSignature):
    """``fn(ctx)`` or ``fn(ctx, params)``."""

    def __init__(self, function: Callable[..., Any], subject: str) -> None:
        super().__init__(function, subject)
        required = [
            parameter.name
            for parameter in self.parameters[2:]
            if parameter.default is inspect.Parameter.empty
            and parameter.kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        ]
        if required or (len(self.parameters) > 1 and self.parameters[1].kind not in _POSITIONAL):
            raise SettingsError(
                f"{subject}: its function takes (ctx) or (ctx, params); it also asks for {', '.join(required) or '*'}"
            )
        self._params = self.parameters[1] if len(self.parameters) > 1 else None

    @cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        if self._params is None:
            return None
        annotation = self.resolve(self._params.name, self._params.annotation)
        return None if annotation in _ANYTHING else self.adapter(self._params.name, annotation)

    def arguments(self, payload: JsonValue) -> tuple[Any, ...]:
        """What follows the context in a call.

        Raises:
            ValidationError: the payload does not match. ValueError: params for a function that takes none.
        """
        if self._params is None:
            if payload not in (None, {}):
                raise ValueError("the process takes no params")
            return ()
        if payload is None and self._params.default is not inspect.Parameter.empty:
            return ()
        adapter = self._adapter
        if adapter is None:
            return (payload,)
        # By way of JSON text: strict models and dates mean what they mean in JSON, not in Python.
        return (adapter.validate_json(json.dumps(payload)),)

    @property
    def params_schema(self) -> JsonValue:
        """JSON schema of the params; None when everything is allowed or no schema can be made."""
        if self._params is None:
            return NO_PARAMS_SCHEMA
        if self._adapter is None:
            return None
        schema = schema_of(self._adapter, "validation")
        if schema is not None and self._params.default is not inspect.Parameter.empty:
            return {"anyOf": [{"type": "null"}, schema]} if "$defs" not in schema else None
        return schema


class ToolSignature(FunctionSignature):
    """``fn(ctx, name: type, …)``: the arguments are the properties of an object."""

    def __init__(self, function: Callable[..., Any], subject: str) -> None:
        super().__init__(function, subject)
        for parameter in self.parameters[1:]:
            if parameter.kind in (
                inspect.Parameter.VAR_POSITIONAL,
                inspect.Parameter.VAR_KEYWORD,
                inspect.Parameter.POSITIONAL_ONLY,
            ):
                raise SettingsError(f"{subject}: parameter `{parameter.name}` must be one that is given by name")

    @cached_property
    def _model(self) -> type[BaseModel]:
        fields: dict[str, Any] = {}
        for parameter in self.parameters[1:]:
            annotation = self.resolve(parameter.name, parameter.annotation)
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            self.adapter(parameter.name, annotation)
            fields[parameter.name] = (Any if annotation in _ANYTHING else annotation, default)
        module = getattr(inspect.unwrap(self.function), "__module__", None)
        return create_model(
            "Arguments",
            __config__={"extra": "forbid"},
            __module__=module if module in sys.modules else __name__,
            **fields,
        )

    def arguments(self, args: JsonValue) -> dict[str, Any]:
        """The named arguments of a call. Raises: ValidationError."""
        checked = self._model.model_validate_json(json.dumps({} if args is None else args))
        return {name: getattr(checked, name) for name in type(checked).model_fields}

    @property
    def input_schema(self) -> JsonValue:
        """JSON schema of the arguments."""
        return self._model.model_json_schema()


def payload_schema(annotation: Any, subject: str) -> JsonValue:
    """The JSON schema of a signal's payload: a type, a JSON schema as a dict, or None for anything.

    Raises:
        SettingsError: the type is no JSON data.
    """
    if annotation is None or isinstance(annotation, dict | bool):
        return True if annotation is None else annotation
    try:
        return TypeAdapter(annotation).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        text = str(error).split("\n", 1)[0]
        raise SettingsError(f"{subject} has a type that is no JSON data: {text}") from error
