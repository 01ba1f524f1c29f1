"""Registrations for the tests of the model."""

from __future__ import annotations

from typing import Any

from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.process_input import ProcessInput
from lash_core.model.registration import ProcessRegistration


def engine(process_id: str = "p", payload: Any = None, **changes: Any) -> ProcessRegistration:
    """A rerunnable engine process in the empty environment; ``changes`` replace fields."""
    facts: dict[str, Any] = {
        "id": process_id,
        "input": ProcessInput.engine("report.build", payload),
        "disposition": RecoveryDisposition.RERUNNABLE,
        "env_ref": EMPTY_ENV_REF,
    }
    return ProcessRegistration(**(facts | changes))
