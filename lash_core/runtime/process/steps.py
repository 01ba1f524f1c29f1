"""Steps: side effects of a process function that run once and are answered from the journal afterwards (DESIGN 5)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from lash_core.errors import Failure, InvalidJsonError, LashError, RuntimeFailure, SettingsError, StepFailed
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import EffectKind, RuntimeEffectEnvelope, RuntimeEffectOutcome
from lash_core.model.fast_build import fast_build
from lash_core.model.registration import RetryPolicy
from lash_core.model.step_retry import backoff_after
from lash_core.runtime.failure_texts import bounded, text_of
from lash_core.runtime.journal.errors import STEP_TIMEOUT, STORE_ERRORS, NotRecordedError
from lash_core.runtime.process.blocking import submit_here
from lash_core.runtime.process.verbs import RunVerbs, checked_ms, checked_name
from lash_core.runtime.step_values import known_arguments, known_keywords, name_of, result_codec
from lash_core.runtime.value_codec import ResultCodec

STEP_FAILED = "step_failed"
RESULT_INVALID = "step_result_invalid"
NAME_REPEATED = "step_name_repeated"


@dataclass(frozen=True, slots=True)
class StepCall:
    """One call of ``ctx.step``, checked."""

    name: str
    effect_id: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retry: RetryPolicy | None
    timeout_ms: int | None

    @property
    def attempts_max(self) -> int:
        """Tries in all."""
        return 1 if self.retry is None else self.retry.attempts_max

    def retry_id(self, attempt: int) -> str:
        """Effect id of the wait after a failed try; that it is recorded says that the try failed."""
        return f"{self.effect_id}:retry:{attempt}"


class StepRunner:
    """Runs the steps of one run."""

    __slots__ = ("_verbs",)

    def __init__(self, verbs: RunVerbs) -> None:
        self._verbs = verbs

    def checked(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: tuple[tuple[Any, ...], dict[str, Any]],
        *,
        retry: RetryPolicy | None,
        timeout_ms: Any,
        key: str | None,
    ) -> StepCall:
        """Check a call and take its name.

        Raises:
            InvalidArgumentError: a name, key, timeout or function that cannot be used.
            RuntimeFailure: ``step_name_repeated``.
        """
        checked_name(name, "step name")
        if inspect.isawaitable(function):
            if inspect.iscoroutine(function):
                function.close()
            raise TypeError(
                f"step `{name}`: give the function and its arguments, not what a call returned: "
                f'ctx.step("{name}", fetch, url)'
            )
        if not callable(function):
            raise TypeError(f"step `{name}`: {type(function).__name__} is no function")
        again = "" if key is None else f" with key `{key}`"
        effect_id = f"step:{name}" if key is None else f"step:{name}#{checked_name(key, 'step key')}"
        if not self._verbs.take_name(effect_id):
            raise RuntimeFailure(
                NAME_REPEATED,
                f"step `{name}` was asked for twice in one run{again}: its name is how a replay finds it. "
                f'Give each its own key, as in ctx.step("{name}", …, key=str(index))',
            )
        limit_ms = None if timeout_ms is None else max(1, checked_ms(timeout_ms, "timeout_ms"))
        return StepCall(name, effect_id, function, *arguments, retry, limit_ms)

    async def run(self, call: StepCall) -> Any:
        """Answer the step's value, as its annotation says.

        Raises:
            StepFailed, Failure: how it ended, for good. RuntimeFailure: a mismatch, a full journal.
            Store errors: for the worker.
        """
        codec = _codec(call)
        envelope_args: dict[str, Any] = {"step_id": call.effect_id, "args": known_arguments(call.args)}
        if call.kwargs:
            envelope_args["kwargs"] = known_keywords(call.kwargs)
        attempt = await self._failed_attempts(call) + 1
        while True:
            execute = partial(self._attempt, call, codec, attempt)
            try:
                outcome = await self._verbs.effect(call.effect_id, EffectKind.DURABLE_STEP, envelope_args, execute)
            except NotRecordedError:
                await self._back_off(call, attempt)
                attempt += 1
            else:
                return _decoded(call, codec, outcome)

    async def _failed_attempts(self, call: StepCall) -> int:
        """Tries that failed before, by the waits that they left in the journal."""
        journal = self._verbs.journal
        if call.retry is None or journal is None:
            return 0
        with self._verbs.calling():
            await journal.load()
        failed, ended = 0, journal.find(self._verbs.key(call.effect_id)) is not None
        while failed < call.attempts_max:
            key = self._verbs.key(call.retry_id(failed + 1))
            record = journal.find(key)
            if record is None:
                break
            failed += 1
            journal.asked(key)
            left_ms = 0 if ended or record.due_at_ms is None else record.due_at_ms - journal.past_ms()
            if left_ms > 0:
                # By the record, not by the policy: that may have changed since.
                await self._verbs.begin()
                await self._rest(left_ms)
        return failed

    async def _back_off(self, call: StepCall, attempt: int) -> None:
        if call.retry is not None:
            await sleep_effect(self._verbs, call.retry_id(attempt), backoff_after(call.retry, attempt))

    async def _rest(self, left_ms: int) -> None:
        waits = self._verbs.waits
        await (asyncio.sleep(left_ms / 1_000) if waits is None else waits.sleep(left_ms))

    async def _attempt(
        self, call: StepCall, codec: ResultCodec, attempt: int, envelope: RuntimeEffectEnvelope
    ) -> RuntimeEffectOutcome:
        try:
            value = await self._call(call)
        except (StepFailed, Failure):
            raise
        except (Exception, SystemExit) as error:
            # A SystemExit in a task would end the worker.
            if error is self._verbs.store_error and isinstance(error, STORE_ERRORS):
                raise
            if attempt < call.attempts_max:
                raise NotRecordedError from error
            code = error.code if isinstance(error, LashError) else STEP_FAILED
            if isinstance(error, _StepTimeoutError):
                code = STEP_TIMEOUT
            raise _failed(call, code, error) from error
        try:
            encoded = codec.encode(value)
        except (
            ValidationError,
            PydanticSerializationError,
            InvalidJsonError,
            RecursionError,
            ValueError,
            TypeError,
        ) as error:
            raise _not_encodable(call, error) from error
        return fast_build(RuntimeEffectOutcome, {"kind": envelope.kind, "value": encoded})

    async def _call(self, call: StepCall) -> Any:
        """Call the function once: an async one here, a plain one in a thread."""
        limit = asyncio.timeout(None if call.timeout_ms is None else call.timeout_ms / 1_000)
        try:
            async with limit:
                if _is_async(call.function):
                    return await call.function(*call.args, **call.kwargs)
                plain = partial(call.function, *call.args, **call.kwargs)
                here, submit = submit_here(plain), self._verbs.submit
                if here is not None:
                    value = await here
                else:
                    value = plain() if submit is None else await submit(plain)
                # A lambda around an async function, for one.
                return await value if inspect.isawaitable(value) else value
        except TimeoutError as error:
            if limit.expired():
                raise _StepTimeoutError(f"took longer than {call.timeout_ms} ms") from error
            raise


class _StepTimeoutError(TimeoutError):
    """The step's own time was over."""


async def sleep_effect(verbs: RunVerbs, effect_id: str, duration_ms: int) -> None:
    """A recorded sleep: its due time is kept, a replay waits the remainder."""

    async def wait(envelope: RuntimeEffectEnvelope) -> RuntimeEffectOutcome:
        left_ms = int(envelope.command.args["duration_ms"])
        waits = verbs.waits
        if waits is None:
            await asyncio.sleep(left_ms / 1_000)
        else:
            await waits.sleep(left_ms)
        return fast_build(RuntimeEffectOutcome, {"kind": EffectKind.SLEEP, "value": None})

    await verbs.effect(effect_id, EffectKind.SLEEP, {"duration_ms": duration_ms}, wait)


def _codec(call: StepCall) -> ResultCodec:
    try:
        return result_codec(call.function)
    except SettingsError as error:
        raise _not_encodable(call, error) from error


def _decoded(call: StepCall, codec: ResultCodec, outcome: RuntimeEffectOutcome) -> Any:
    if not codec.is_declared:
        return outcome.value
    try:
        return codec.decode(canonical_json(outcome.value))
    except ValidationError as error:
        raise StepFailed(
            call.name,
            RESULT_INVALID,
            f"its recorded result does not fit the return annotation of {name_of(call.function)} any more: "
            f"{error.errors()[0]['msg']}",
            error_type="ValidationError",
        ) from error


def _failed(call: StepCall, code: str, error: BaseException) -> StepFailed:
    type_name = "TimeoutError" if isinstance(error, _StepTimeoutError) else type(error).__name__
    text = text_of(error) if type_name == type(error).__name__ else bounded(f"{type_name}: {error}")
    return StepFailed(call.name, code, text, error_type=type_name)


def _not_encodable(call: StepCall, error: Exception) -> StepFailed:
    reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
    return StepFailed(
        call.name,
        RESULT_INVALID,
        bounded(
            f"the result of {name_of(call.function)} cannot be recorded: {reason}. Return JSON (numbers, texts, lists, "
            "objects) or a type that pydantic can encode, and annotate it; return an id instead of the thing itself"
        ),
        error_type=type(error).__name__,
    )


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async
    )
