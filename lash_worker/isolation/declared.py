"""What an app declares to run in work-horses: functions of its own, and RQ functions from an allow-list in code."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any, Literal

from pydantic import TypeAdapter

from lash_core.errors import SettingsError
from lash_core.model.base import JsonValue
from lash_core.model.manifest import KindManifest
from lash_core.model.payload_schema import schema_fault
from lash_core.runtime.value_codec import ResultCodec
from lash_worker.app_signature import FunctionSignature

Isolation = Literal["process"]

RQ_PARAMS_SCHEMA: JsonValue = {
    "anyOf": [
        {"type": "null"},
        {
            "type": "object",
            "properties": {"args": {"type": "array"}, "kwargs": {"type": "object"}},
            "additionalProperties": False,
        },
    ]
}
"""Params of an RQ function: what it is called with."""


class RqSignature:
    """A function that was written for RQ: called with ``args`` and ``kwargs``, without a context.

    Args:
        function: ``module:attribute``, given by the app's code; imported by the runners only.
        subject: how errors call it.

    Raises:
        SettingsError: the path has another form.
    """

    def __init__(self, function: str, subject: str) -> None:
        module, _, attribute = function.partition(":")
        if not attribute or not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
            raise SettingsError(
                f"{subject}: function {function!r} must be MODULE:FUNCTION, as in legacy.jobs:nightly_report",
                field="function",
                value=function,
            )
        self.path = function
        self._module = module
        self._attribute = attribute

    @property
    def rq_name(self) -> str:
        """The path as RQ writes it: ``legacy.jobs.nightly_report``."""
        return f"{self._module}.{self._attribute}"

    @property
    def params_schema(self) -> JsonValue:
        """``{"args": […], "kwargs": {…}}``."""
        return RQ_PARAMS_SCHEMA

    @cached_property
    def result(self) -> ResultCodec:
        """Anything that is JSON."""
        return ResultCodec(TypeAdapter(Any), declared=False)

    def arguments(self, payload: JsonValue) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments of the call. Raises: ValueError: the params have another form."""
        params: Any = {} if payload is None else payload
        fault = schema_fault(RQ_PARAMS_SCHEMA, params)
        if fault is not None:
            raise ValueError('must be an object with "args" (a list) and "kwargs" (an object), both optional')
        return params.get("args", []), params.get("kwargs", {})

    def load(self) -> Callable[..., Any]:
        """Import the function. Raises: whatever its module raises, AttributeError, TypeError: not callable."""
        found: Any = importlib.import_module(self._module)
        for part in self._attribute.split("."):
            found = getattr(found, part)
        # A function decorated with rq's @job is a plain function with a ``delay`` beside it.
        if not callable(found):
            raise TypeError(f"{self.path} is a {type(found).__name__}, no function")
        return found


def checked_isolation(
    facts: KindManifest, isolation: str | None, signature: FunctionSignature, signals: Collection[str]
) -> Isolation | None:
    """The isolation of a declared function.

    Raises:
        SettingsError: an unknown word, an async function, or signals and events that it could not use.
    """
    kind = facts.kind
    if isolation is None:
        return None
    if isolation != "process":
        raise SettingsError(
            f"process `{kind}`: isolation {isolation!r} must be 'process' or absent", field="isolation", value=isolation
        )
    if signature.is_async:
        raise SettingsError(
            f"process `{kind}`: isolation='process' is for plain functions, and its function is async: what a "
            "coroutine awaits (ctx.step, ctx.sleep, …) needs the worker's loop. Write `def` instead of `async def`, "
            "and use asyncio.run inside where a library wants a loop",
            field="isolation",
            value=isolation,
        )
    if signals or facts.event_types:
        raise SettingsError(
            f"process `{kind}`: isolation='process' goes without signals and event_types: waits and events belong into "
            "a process without isolation, which may start this one as its child",
            field="signals" if signals else "event_types",
        )
    return "process"
