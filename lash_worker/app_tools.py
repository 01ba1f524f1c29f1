"""Tools from ``@app.tool`` functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypedDict

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from lash_core.errors import Failure, InvalidJsonError, SettingsError
from lash_core.model.base import JsonValue
from lash_core.model.tool_output import AnyToolOutput, ToolCancelled, ToolFailure, ToolSuccess
from lash_core.model.tool_retry import ToolRetryDisposition, ToolRetryPolicy
from lash_core.model.tool_state import ToolArgumentProjectionPolicy, ToolManifest, ToolScheduling
from lash_core.runtime.tools import Tool, ToolContext
from lash_worker.app_calls import CallStoppedError, call_coroutine, call_in_thread
from lash_worker.app_failures import bounded, faults_of, raised_failure, text_of
from lash_worker.app_signature import ToolSignature
from lash_worker.thread_pool import ThreadPool

TOOL_FAILED = "tool_failed"
ARGS_INVALID = "tool_args_invalid"
RESULT_INVALID = "tool_result_invalid"


_SAFE = ToolRetryDisposition("safe")


class ToolOptions(TypedDict, total=False):
    """What a tool may say beside its name; an option that is left out or None counts as absent.

    retry: attempts in all, or a ``ToolRetryPolicy``. retry_on: exceptions after which another attempt is safe; both are
    needed. timeout_ms: longest attempt. serial: its calls run alone. keep_refs_in: projected values in this argument
    stay references.
    """

    retry: ToolRetryPolicy | int | None
    retry_on: type[Exception] | tuple[type[Exception], ...] | None
    timeout_ms: int | None
    serial: bool | None
    keep_refs_in: str | None


_OPTIONS = frozenset(ToolOptions.__annotations__)


class AppTool:
    """One declared tool: validates its arguments, calls the function, encodes the answer.

    Raises:
        SettingsError: an option that is unknown or not legal.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], description: str | None, options: ToolOptions | None = None
    ) -> None:
        self.name = name
        self._signature = ToolSignature(function, f"tool `{name}`")
        self._description = description or (inspect.getdoc(function) or "").split("\n\n", 1)[0]
        self._options = options or ToolOptions()
        self._retry_on: Any = self._options.get("retry_on") or ()
        self._said = _manifest_facts(name, self._options)

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
            **self._said,
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
            output = ToolFailure.model_validate({"class": class_, "code": code, "message": message, "raw": raw})
            return self._judged(failure, output)
        except (Exception, SystemExit) as error:
            # A tool's exception is its answer, but for one of the session's own store: then the turn is redone.
            if context.turn is not None and context.turn.is_of_its_store(error):
                raise
            return self._judged(error, _failure("execution", TOOL_FAILED, text_of(error)))
        if isinstance(value, ToolSuccess | ToolFailure | ToolCancelled):
            # A whole output: one that ends the turn, say.
            return value
        try:
            return ToolSuccess(value=signature.result.encode(value))
        except (ValidationError, PydanticSerializationError, InvalidJsonError, ValueError, TypeError) as error:
            return _failure("invalid_request", RESULT_INVALID, text_of(error))

    def _judged(self, error: BaseException, output: ToolFailure) -> ToolFailure:
        """The failure; safe to try again when the tool declared it of such an exception."""
        return output.model_copy(update={"retry": _SAFE}) if isinstance(error, self._retry_on) else output


def _manifest_facts(name: str, options: ToolOptions) -> dict[str, Any]:
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise SettingsError(
            f"tool `{name}`: unknown option `{unknown[0]}`; there are {known}", field=unknown[0], value=unknown[0]
        )
    facts: dict[str, Any] = {"timeout_ms": options.get("timeout_ms")}
    retry, field = options.get("retry"), options.get("keep_refs_in")
    if retry is not None:
        facts["retry"] = {"attempts_max": retry} if isinstance(retry, int) else retry
    if options.get("serial"):
        facts["scheduling"] = ToolScheduling.SERIAL
    if field is not None:
        facts["argument_projection"] = ToolArgumentProjectionPolicy.preserve_projected_refs_in_field(field)
    try:
        ToolManifest.model_validate({"tool_id": name, "name": name, **facts})
    except ValidationError as error:
        text, _ = faults_of(error, f"tool `{name}`")
        raise SettingsError(text, field="tool", value=name) from error
    if isinstance(retry, int):
        facts["retry"] = ToolRetryPolicy(retry)
    return facts


def _failure(class_: str, code: str, message: str) -> ToolFailure:
    return ToolFailure.model_validate({"class": class_, "code": code, "message": message})
