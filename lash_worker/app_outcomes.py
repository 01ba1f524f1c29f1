"""What a call of a declared function is recorded as (DESIGN 6): in the loop, in a thread and in a work-horse alike."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from lash_core.errors import Failure, InvalidJsonError
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput, Success
from lash_core.runtime.process.runner import PROCESS_FAILED
from lash_core.runtime.value_codec import ResultCodec
from lash_worker.app_failures import bounded, faults_of, raised_failure, text_of, traceback_of

PARAMS_INVALID = "process_params_invalid"
RESULT_INVALID = "process_result_invalid"
PROCESS_TIMEOUT = "process_timeout"


def bad_params(error: ValueError) -> AnyAwaitOutput:
    """Params that are not what the function takes; a ``ValidationError`` names each fault."""
    if isinstance(error, ValidationError):
        text, raw = faults_of(error, "params")
        return ProcessAwaitOutput.failure("invalid_request", PARAMS_INVALID, text, raw)
    return ProcessAwaitOutput.failure("invalid_request", PARAMS_INVALID, f"params: {error}")


def returned(codec: ResultCodec, value: Any) -> AnyAwaitOutput:
    """A value: success, or a failure when it does not encode."""
    try:
        encoded = codec.encode(value)
    except ValidationError as error:
        text, raw = faults_of(error, "result")
        return ProcessAwaitOutput.failure("invalid_request", RESULT_INVALID, text, raw)
    except (PydanticSerializationError, InvalidJsonError, RecursionError, ValueError, TypeError) as error:
        return ProcessAwaitOutput.failure("invalid_request", RESULT_INVALID, text_of(error))
    # Built without validation: the value was checked just now and the rest is constant.
    return Success.model_construct(type="success", value=encoded, control=None)


def raised(error: BaseException, *, record_tracebacks: bool) -> AnyAwaitOutput:
    """An exception: a raised ``Failure`` as it is, anything else as ``process_failed``."""
    if isinstance(error, Failure):
        return ProcessAwaitOutput.failure(*raised_failure(error))
    raw = traceback_of(error) if record_tracebacks else None
    return ProcessAwaitOutput.failure("execution", PROCESS_FAILED, text_of(error), raw)


def stopped(process_id: str, reason: str | None, timed_out_ms: int | None) -> AnyAwaitOutput:
    """A function that was ended: by a timeout of that many ms, else by a cancel."""
    if timed_out_ms is not None:
        text = f"process `{process_id}` ran longer than {timed_out_ms} ms"
        return ProcessAwaitOutput.failure("timeout", PROCESS_TIMEOUT, text)
    return ProcessAwaitOutput.cancelled(bounded(reason or "cancelled"))
