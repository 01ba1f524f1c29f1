"""The engine of one ``@app.process`` kind: params in, function, result out, every end as DESIGN 6 names it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from lash_core.errors import RuntimeFailure
from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.runtime.journal.errors import JOURNAL_FULL
from lash_core.runtime.journal.run import RunEffects
from lash_core.runtime.process.context import ProcessContext
from lash_core.runtime.process.engine import EngineRun
from lash_core.runtime.process.runner import PROCESS_FAILED, RUN_ERRORS
from lash_worker.app_calls import CallStoppedError, FunctionCancelledError, call_coroutine, call_in_thread
from lash_worker.app_failures import bounded
from lash_worker.app_outcomes import bad_params, raised, returned, stopped
from lash_worker.app_signature import ProcessSignature
from lash_worker.thread_pool import Raised, ThreadPool


@dataclass(frozen=True, slots=True)
class AppPools:
    """Threads of one app.

    Steps have their own: functions that wait in a thread must not keep the steps of others from running.
    """

    functions: ThreadPool
    steps: ThreadPool

    def close(self) -> None:
        """Let the threads end. May be called twice."""
        self.functions.close()
        self.steps.close()

    async def run_step(self, call: Callable[[], Any]) -> Any:
        """Run a step's plain function in a thread.

        Raises:
            What it raises. asyncio.CancelledError: the threads are closed.
        """
        try:
            future = self.steps.submit(call)
        except RuntimeError as error:
            # Closed: the worker has ended, and this is what a run left behind.
            raise asyncio.CancelledError from error
        outcome = await future
        if isinstance(outcome, Raised):
            raise outcome.error
        return outcome.value


class AppEngine:
    """``ProcessEngine`` of one declared function. No runtime is built unless the function asks for a tool.

    Args:
        kind: the declared kind.
        signature: of the declared function.
        app_version: what the context answers as ``app_version``.
        timeout_ms: for rows that carry none of their own.
        pools: threads for plain functions.
        signal_types: adapters of declared signal payloads by name.
        record_tracebacks: put the traceback of an exception into ``raw``.
    """

    def __init__(
        self,
        kind: str,
        signature: ProcessSignature,
        *,
        app_version: str | None,
        timeout_ms: int | None,
        pools: AppPools,
        signal_types: Mapping[str, TypeAdapter[Any]],
        record_tracebacks: bool = False,
    ) -> None:
        self._kind = kind
        self._signature = signature
        self._app_version = app_version
        self._timeout_ms = timeout_ms
        self._pools = pools
        self._signal_types = signal_types
        self._record_tracebacks = record_tracebacks

    @property
    def kind(self) -> str:
        """The declared kind."""
        return self._kind

    async def run(self, run: EngineRun) -> AnyAwaitOutput:
        """Run the function once; what its journal has is answered and not done again.

        Raises:
            asyncio.CancelledError: the worker ended the run; nothing is to be recorded.
            LeaseLostError, StoreBehindError, StoreUnreachableError, OutcomeUnknownError, StoreRefusedError: a store
                call of the context failed and the function let it pass, or the journal cannot be read.
        """
        journal = run.effects if isinstance(run.effects, RunEffects) else None
        if journal is not None:
            await journal.load()
        if run.cancellation.cancelled and not _was_begun(run, journal):
            return stopped(run.process_id, run.cancellation.reason, None)
        try:
            arguments = self._signature.arguments(run.payload)
        except ValueError as error:
            return bad_params(error)
        context = ProcessContext(run, self._app_version, submit=self._pools.run_step, signal_types=self._signal_types)
        try:
            output = await self._call(run, context, arguments)
        finally:
            context.close()
        if journal is not None and journal.mismatch is not None:
            return _void(journal.mismatch)
        return output

    async def _call(self, run: EngineRun, context: ProcessContext, arguments: tuple[Any, ...]) -> AnyAwaitOutput:
        token, signature = run.cancellation, self._signature
        timeout_ms = run.registration.timeout_ms or self._timeout_ms
        try:
            if signature.is_async:
                call = partial(signature.function, context, *arguments)
                value = await call_coroutine(call, token, timeout_ms, deliver=context.interrupt)
            else:
                bridge, functions = context.enter_thread(), self._pools.functions
                call = partial(signature.function, context.blocking, *arguments)
                value = await call_in_thread(
                    call, token, timeout_ms, functions, bridge=bridge, deliver=context.interrupt
                )
        except CallStoppedError as stop:
            return stopped(run.process_id, token.reason, timeout_ms if stop.timed_out else None)
        except FunctionCancelledError as error:
            return ProcessAwaitOutput.failure("execution", PROCESS_FAILED, str(error))
        except (Exception, SystemExit) as error:
            if error is context.store_error and isinstance(error, RUN_ERRORS):
                raise
            return raised(error, record_tracebacks=self._record_tracebacks)
        return returned(signature.result, value)


def _was_begun(run: EngineRun, journal: RunEffects | None) -> bool:
    """True when an attempt before this one left something that says where it was: its end belongs to the function."""
    record = run.context.record
    return journal is not None and (journal.has_loaded_entries or (record is not None and record.wait is not None))


def _void(failure: RuntimeFailure) -> AnyAwaitOutput:
    """The outcome of a run that met a mismatch or the end of its journal, whatever its function made of it."""
    class_ = "resource_limit" if failure.code == JOURNAL_FULL else "execution"
    return ProcessAwaitOutput.failure(class_, failure.code, bounded(failure.detail), failure.raw)
