"""Rows for the tests of this folder."""

from __future__ import annotations

import secrets
from typing import Any

from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.environment import EMPTY_ENV_REF
from lash_core.model.event_type import WAKE_TYPE, ProcessEventType
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.process_input import EngineInput
from lash_core.model.registration import ProcessRegistration


def unique(stem: str) -> str:
    """An id that no other test has."""
    return f"{stem}-{secrets.token_hex(4)}"


def registration(process_id: str | None = None, **facts: Any) -> ProcessRegistration:
    """A rerunnable row of an engine, with an event that wakes and one signal."""
    given: dict[str, Any] = {
        "id": process_id or unique("process"),
        "input": EngineInput(kind="job", payload={"n": 1}),
        "disposition": RecoveryDisposition.RERUNNABLE,
        "env_ref": EMPTY_ENV_REF,
        "event_types": (WAKE_TYPE, ProcessEventType.signal("go"), ProcessEventType(name="note")),
    }
    return ProcessRegistration(**(given | facts))


def owner(name: str = "worker") -> LeaseOwnerIdentity:
    """An owner whose death nobody can prove."""
    return LeaseOwnerIdentity.opaque(name, unique("incarnation"))
