"""How an effect ended, as a journal keeps it: errors of effects are outcomes too."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from lash_core.errors import StepFailed
from lash_core.model.canonical_json import canonical_json
from lash_core.model.effect import RuntimeEffectOutcome
from lash_core.model.effect_record import EffectRecord, EffectState
from lash_core.runtime.journal.errors import OUTCOME_TOO_LARGE, raised_again, recorded_error
from lash_core.runtime.journal.replay import outcome_of


@dataclass(frozen=True, slots=True)
class EffectEnd:
    """An outcome or error that can be recorded.

    Attributes:
        outcome_json: canonical JSON, of the outcome's value or of the error's facts.
        cause: the error itself; None of an outcome, and of an error that stands for another one.
    """

    state: EffectState
    outcome_json: str
    cause: Exception | None = None

    @classmethod
    def of_outcome(cls, outcome: RuntimeEffectOutcome) -> EffectEnd:
        """It was done. Raises: InvalidJsonError."""
        return cls("completed", canonical_json(outcome.value, field="outcome"))

    @classmethod
    def of_error(cls, error: Exception) -> EffectEnd:
        """It failed."""
        return cls("failed", canonical_json(recorded_error(error)), error)

    @classmethod
    def too_large(cls, message: str) -> EffectEnd:
        """The effect was done, but its outcome does not fit: without a record it would be done again."""
        facts = {"code": OUTCOME_TOO_LARGE, "message": message, "type": "RuntimeFailure"}
        return cls("failed", canonical_json(facts))

    def answer(self, record: EffectRecord) -> RuntimeEffectOutcome:
        """The outcome of the record that stands. Raises: the recorded error, from what caused it here."""
        if record.state == "failed":
            cause = self.cause
            raise raised_again(record.outcome) from (cause.__cause__ if isinstance(cause, StepFailed) else cause)
        return outcome_of(record)


async def end_of(effect: Awaitable[RuntimeEffectOutcome], never_recorded: tuple[type[Exception], ...]) -> EffectEnd:
    """Run an effect to its end. Raises: ``never_recorded``, which are not the effect's fault: it runs again."""
    try:
        return EffectEnd.of_outcome(await effect)
    except never_recorded:
        raise
    except Exception as error:  # noqa: BLE001 - errors of effects are outcomes too
        return EffectEnd.of_error(error)
