"""Tools from ``@app.tool`` functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from lash_core.errors import Failure, InvalidJsonError
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_state import ToolManifest
from lash_core.runtime.tools import Tool, ToolContext
from lash_worker.app_calls import CallStoppedError, call_coroutine, call_in_thread
from lash_worker.app_failures import bounded, faults_of, raised_failure, text_of
from lash_worker.app_signature import ToolSignature
from lash_worker.thread_pool import ThreadPool

TOOL_FAILED = "tool_failed"
ARGS_INVALID = "tool_args_invalid"
RESULT_INVALID = "tool_result_invalid"


class AppTool:
    """One declared tool: validates its arguments, calls the function, encodes the answer."""

    def __init__(self, name: str, function: Callable[..., Any], description: str | None) -> None:
        self.name = name
        self._signature = ToolSignature(function, f"tool `{name}`")
        self._description = description or (inspect.getdoc(function) or "").split("\n\n", 1)[0]

    def to_tool(self, pool: ThreadPool) -> Tool:
        """The tool as sessions register it; synchronous functions run in ``pool``.

        Raises:
            SettingsError: an annotation that cannot be used.
        """
        manifest = ToolManifest(
            tool_id=self.name,
            name=self.name,
            description=self._description,
            input_schema=self._signature.input_schema,
        )
        return Tool(manifest, partial(self._call, pool))

    async def _call(self, pool: ThreadPool, context: ToolContext, args: JsonValue) -> AnyToolOutput:
        signature = self._signature
        try:
            named = signature.arguments(args)
        except ValidationError as error:
            text, raw = faults_of(error, "args")
            return ToolFailure.model_validate(
                {"class": "invalid_request", "code": ARGS_INVALID, "message": text, "raw": raw}
            )
        call = partial(signature.function, context, **named)
        try:
            if signature.is_async:
                value = await call_coroutine(call, context.cancellation, None)
            else:
                value = await call_in_thread(call, context.cancellation, None, pool)
        except CallStoppedError:
            return ToolCancelled(message=bounded(context.cancellation.reason or "cancelled"))
        except Failure as failure:
            class_, code, message, raw = raised_failure(failure)
            return ToolFailure.model_validate({"class": class_, "code": code, "message": message, "raw": raw})
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a tool's exception is its answer
            return _failure("execution", TOOL_FAILED, text_of(error))
        try:
            return ToolSuccess(value=signature.result.encode(value))
        except (ValidationError, PydanticSerializationError, InvalidJsonError, ValueError, TypeError) as error:
            return _failure("invalid_request", RESULT_INVALID, text_of(error))


def _failure(class_: str, code: str, message: str) -> ToolFailure:
    return ToolFailure.model_validate({"class": class_, "code": code, "message": message})
