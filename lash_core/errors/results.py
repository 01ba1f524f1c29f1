"""What a process function raises, and what waiting for a process raises."""

from __future__ import annotations

from lash_core.errors.base import LashError


class RuntimeFailure(LashError):
    """A runtime or effect-controller error: ``code: message`` (contract 0, error model)."""

    def __init__(self, code: str, message: str, *, raw: object = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.detail = message
        self.raw = raw


RuntimeEffectControllerError = RuntimeFailure
"""What effect controllers raise, under the name of the contract."""


class Failure(LashError):
    """Raise it in a process function to end the process as failed with these facts.

    Args:
        class_: one of ``lash_core.model.ToolFailureClass``'s values.
        code: snake_case word.
        message: text for people.
        raw: any JSON value, or None.
    """

    def __init__(self, class_: str, code: str, message: str, raw: object = None) -> None:
        super().__init__(message)
        self.class_ = class_
        self.code = code
        self.raw = raw


class StepFailed(LashError):
    """A step of a process function failed for good; the outcome is recorded, and a replay raises the same.

    Attributes:
        step: the step's name.
        code: ``step_failed``, ``step_timeout``, ``step_result_invalid``, or the code of a lash error.
        message: ``<Type>: <text>`` of what the step raised. On the first run that exception is ``__cause__``.
        error_type: name of the exception's class.
    """

    def __init__(self, step: str, code: str, message: str, *, error_type: str = "") -> None:
        super().__init__(message)
        self.step = step
        self.code = code
        self.error_type = error_type

    def __str__(self) -> str:
        return f"step `{self.step}` failed ({self.code}): {self.message}"


class StepTimedOut(StepFailed, TimeoutError):
    """A step took longer than its ``timeout_ms``: code ``step_timeout``. ``except TimeoutError`` catches it too."""


class ProcessFailed(LashError):
    """``handle.result()`` of a failed process."""

    def __init__(
        self, class_: str, code: str, message: str, raw: object = None, *, process_id: str | None = None
    ) -> None:
        super().__init__(message, process_id=process_id)
        self.class_ = class_
        self.code = code
        self.raw = raw


class ProcessCancelled(LashError):
    """``handle.result()`` of a cancelled process; the message is the reason."""

    code = "process_cancelled"

    def __init__(self, message: str, raw: object = None, *, process_id: str | None = None) -> None:
        super().__init__(message, process_id=process_id)
        self.raw = raw


class ProcessAbandoned(LashError):
    """``handle.result()`` of an abandoned process; carries the evidence."""

    code = "process_abandoned"

    def __init__(self, message: str, evidence: object = None, *, process_id: str | None = None) -> None:
        super().__init__(message, process_id=process_id)
        self.evidence = evidence
