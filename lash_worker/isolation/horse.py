"""In the horse: one RQ job, one function, one outcome as JSON. Runs after the fork, in the main thread."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

import redis
from rq.job import Job

from lash_core.model.await_output import AnyAwaitOutput, ProcessAwaitOutput
from lash_core.runtime.process.runner import PROCESS_FAILED
from lash_worker.app import App
from lash_worker.app_outcomes import RESULT_INVALID, bad_params, raised, returned
from lash_worker.app_signature import ProcessSignature
from lash_worker.isolation.declared import RqSignature
from lash_worker.isolation.horse_context import HorseContext, StopFlag
from lash_worker.isolation.order import ORDER_META, RESULT_BYTES_MAX, HorseOrder


class Stable:
    """What a runner prepared before it forks: the apps it may run, and where an outcome goes."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        self.apps = apps
        self.outcome_fd = -1
        self.stop = StopFlag()

    def enter_horse(self) -> None:
        """Called in the child, before the job."""
        signal.signal(signal.SIGTERM, self.stop.on_signal)

    def write(self, end: Mapping[str, Any]) -> None:
        """Leave the outcome for the runner, which reads it when the horse has ended."""
        data = json.dumps(end, allow_nan=False).encode()
        view = memoryview(data)
        while view:
            view = view[os.write(self.outcome_fd, view) :]

    def signature(self, order: HorseOrder) -> ProcessSignature | RqSignature | None:
        """The function of an order as this runner's own app declares it; None for what it does not isolate."""
        app = self.apps.get(order.app)
        return None if app is None else app.isolated_signature(order.kind)


STABLE = Stable({})
"""Of this OS process; the runner fills it."""


class HorseJob(Job):
    """An RQ job that runs what its order names by app and kind, and nothing that its data names by import path."""

    _was_called = False

    def perform(self) -> Any:
        """RQ's way; when its server is away, the function runs all the same, though RQ's books do not say so."""
        try:
            return super().perform()
        except redis.RedisError:
            if self._was_called:
                raise
            return self._execute()

    def _execute(self) -> None:
        self._was_called = True
        order = HorseOrder.model_validate(self.get_meta(refresh=False)[ORDER_META])
        STABLE.write(ended(order, STABLE))

    def execute_success_callback(self, *_: Any, **__: Any) -> None:
        """A callback's import path would come from data."""

    def execute_failure_callback(self, *_: Any, **__: Any) -> None:
        """As above."""

    def execute_stopped_callback(self, *_: Any, **__: Any) -> None:
        """As above."""

    def send_webhooks(self, *_: Any, **__: Any) -> None:
        """As above."""


def ended(order: HorseOrder, stable: Stable) -> dict[str, Any]:
    """Run an order; returns the fields of a ``HorseEnd`` that the horse knows."""
    try:
        output = _output(order, stable)
    except asyncio.CancelledError:
        if stable.stop.is_set:
            return {"stopped": True}
        output = _failed("CancelledError: raised by the function itself")
    except BaseException as error:  # noqa: BLE001 - whatever leaves the function is its outcome, SystemExit too
        output = raised(error, record_tracebacks=order.record_tracebacks)
    outcome = output.to_json_value()
    size = len(json.dumps(outcome, ensure_ascii=False).encode())
    if size > RESULT_BYTES_MAX:
        text = f"result has {size} bytes; a work-horse may answer {RESULT_BYTES_MAX}"
        outcome = ProcessAwaitOutput.failure("invalid_request", RESULT_INVALID, text).to_json_value()
    return {"outcome": outcome}


def _output(order: HorseOrder, stable: Stable) -> AnyAwaitOutput:
    signature = stable.signature(order)
    if signature is None:
        return _failed(f"app `{order.app}` of this work-horse does not isolate kind `{order.kind}`")
    try:
        arguments = signature.arguments(order.params)
    except ValueError as error:
        return bad_params(error)
    with stable.stop:
        value = _call(signature, arguments, order, stable)
    return returned(signature.result, value)


def _call(
    signature: ProcessSignature | RqSignature, arguments: tuple[Any, ...], order: HorseOrder, stable: Stable
) -> Any:
    if isinstance(signature, ProcessSignature):
        return signature.function(HorseContext(order, stable.stop), *arguments)
    args, kwargs = arguments
    value = signature.load()(*args, **kwargs)
    # RQ runs coroutine functions so, each in a loop of its own.
    return asyncio.run(value) if asyncio.iscoroutine(value) else value


def _failed(text: str) -> AnyAwaitOutput:
    return ProcessAwaitOutput.failure("execution", PROCESS_FAILED, text)
