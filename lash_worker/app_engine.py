"""The engine of one ``@app.process`` kind: params in, function, result out, every end as DESIGN 6 names it."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from lash_core.errors import Failure, InvalidJsonError
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput, Success
from lash_core.runtime.process_context import ProcessContext
from lash_core.runtime.process_engine import EngineRun
from lash_core.runtime.process_runner import PROCESS_FAILED, RUN_ERRORS
from lash_worker.app_calls import CallStoppedError, FunctionCancelledError, call_coroutine, call_in_thread
from lash_worker.app_failures import bounded, faults_of, raised_failure, text_of, traceback_of
from lash_worker.app_signature import ProcessSignature
from lash_worker.thread_pool import ThreadPool

PARAMS_INVALID = "process_params_invalid"
RESULT_INVALID = "process_result_invalid"
PROCESS_TIMEOUT = "process_timeout"


class AppEngine:
    """``ProcessEngine`` of one declared function. No runtime is built unless the function asks for a tool.

    Args:
        kind: the declared kind.
        signature: of the declared function.
        app_version: what the context answers as ``app_version``.
        timeout_ms: for rows that carry none of their own.
        pool: threads for synchronous functions.
        record_tracebacks: put the traceback of an exception into ``raw``.
    """

    def __init__(
        self,
        kind: str,
        signature: ProcessSignature,
        app_version: str | None,
        timeout_ms: int | None,
        pool: ThreadPool,
        *,
        record_tracebacks: bool = False,
    ) -> None:
        self._kind = kind
        self._signature = signature
        self._app_version = app_version
        self._timeout_ms = timeout_ms
        self._pool = pool
        self._record_tracebacks = record_tracebacks

    @property
    def kind(self) -> str:
        """The declared kind."""
        return self._kind

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """Run the function once.

        Raises:
            asyncio.CancelledError: the worker ended the run; nothing is to be recorded.
            LeaseLostError, StoreBehindError, StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: a store
                call of the context failed and the function let it pass.
        """
        token = run.cancellation
        if token.cancelled:
            return ProcessAwaitOutput.cancelled(bounded(token.reason or "cancelled"))
        signature = self._signature
        try:
            arguments = signature.arguments(run.payload)
        except ValidationError as error:
            text, raw = faults_of(error, "params")
            return ProcessAwaitOutput.failure("invalid_request", PARAMS_INVALID, text, raw)
        except ValueError as error:
            return ProcessAwaitOutput.failure("invalid_request", PARAMS_INVALID, f"params: {error}")
        context = ProcessContext(run, self._app_version)
        timeout_ms = run.registration.timeout_ms or self._timeout_ms
        call = partial(signature.function, context, *arguments)
        try:
            if signature.is_async:
                value = await call_coroutine(call, token, timeout_ms)
            else:
                context.enter_thread()
                value = await call_in_thread(call, token, timeout_ms, self._pool)
        except CallStoppedError as stop:
            return self._stopped(run, timeout_ms, timed_out=stop.timed_out)
        except FunctionCancelledError as error:
            return ProcessAwaitOutput.failure("execution", PROCESS_FAILED, str(error))
        except (Exception, SystemExit) as error:
            if error is context.store_error and isinstance(error, RUN_ERRORS):
                raise
            return self._failed(error)
        return self._encoded(value)

    def _stopped(self, run: EngineRun, timeout_ms: int | None, *, timed_out: bool) -> AnyAwaitOutput:
        if timed_out:
            text = f"process `{run.process_id}` ran longer than {timeout_ms} ms"
            return ProcessAwaitOutput.failure("timeout", PROCESS_TIMEOUT, text)
        return ProcessAwaitOutput.cancelled(bounded(run.cancellation.reason or "cancelled"))

    def _failed(self, error: BaseException) -> AnyAwaitOutput:
        if isinstance(error, Failure):
            return ProcessAwaitOutput.failure(*raised_failure(error))
        raw = traceback_of(error) if self._record_tracebacks else None
        return ProcessAwaitOutput.failure("execution", PROCESS_FAILED, text_of(error), raw)

    def _encoded(self, value: Any) -> AnyAwaitOutput:
        try:
            encoded = self._signature.result.encode(value)
        except ValidationError as error:
            text, raw = faults_of(error, "result")
            return ProcessAwaitOutput.failure("invalid_request", RESULT_INVALID, text, raw)
        except (PydanticSerializationError, InvalidJsonError, RecursionError, ValueError, TypeError) as error:
            return ProcessAwaitOutput.failure("invalid_request", RESULT_INVALID, text_of(error))
        # Built without validation: the value was checked just now and the rest is constant.
        return Success.model_construct(type="success", value=encoded, control=None)
