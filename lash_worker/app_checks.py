"""Checks of what an app declares: each names the kind, the field and the bad value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lash_core.errors import InvalidArgumentError, SettingsError
from lash_core.model.disposition import RecoveryDisposition
from lash_core.model.event_type import CORE_BY_NAME, ProcessEventType
from lash_core.model.ids import check_queue, check_signal_name

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")


def checked_name(name: object, subject: str) -> str:
    """A legal name. Raises: SettingsError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingsError(
            f"{subject} {str(name)[:80]!r} must be 1-128 letters, digits, '.', '_', '/' or '-', the first a letter or "
            "digit",
            field=subject.replace(" ", "_"),
            value=str(name),
            limit=128,
        )
    return name


def checked_disposition(kind: str, disposition: RecoveryDisposition | str) -> RecoveryDisposition:
    """The disposition of that name. Raises: SettingsError naming the three."""
    try:
        return RecoveryDisposition(disposition)
    except ValueError as error:
        names = ", ".join(member.value for member in RecoveryDisposition)
        raise SettingsError(
            f"process `{kind}`: disposition {disposition!r} must be one of {names}",
            field="disposition",
            value=str(disposition),
        ) from error


def checked_queue(kind: str, queue: str) -> str:
    """A legal queue. Raises: SettingsError."""
    try:
        return check_queue(queue)
    except InvalidArgumentError as error:
        raise SettingsError(f"process `{kind}`: {error.message}", field="queue", value=queue, limit=64) from error


def checked_timeout(kind: str, timeout_ms: int | None) -> int | None:
    """A timeout of at least 1 ms, or None. Raises: SettingsError."""
    if timeout_ms is not None and not 1 <= timeout_ms <= 2**53:
        raise SettingsError(
            f"process `{kind}`: timeout_ms is {timeout_ms}; it must be at least 1", field="timeout_ms", value=timeout_ms
        )
    return timeout_ms


def checked_signals(kind: str, signals: Mapping[str, Any]) -> dict[str, Any]:
    """Signals with legal names. Raises: SettingsError."""
    for name in signals:
        try:
            check_signal_name(name)
        except InvalidArgumentError as error:
            raise SettingsError(f"process `{kind}`: {error.message}", field="signals", value=name) from error
    return dict(signals)


def checked_event_types(kind: str, event_types: Iterable[ProcessEventType | str]) -> tuple[ProcessEventType, ...]:
    """Event types: unique, no core types, no signals. Raises: SettingsError."""
    declared = tuple(ProcessEventType(name=item) if isinstance(item, str) else item for item in event_types)
    seen: set[str] = set()
    for event_type in declared:
        name = event_type.name
        if not name.strip() or name in seen or name in CORE_BY_NAME or name.startswith("signal."):
            raise SettingsError(
                f"process `{kind}`: event type {name!r} is blank, declared twice, a core type or a signal",
                field="event_types",
                value=name,
            )
        seen.add(name)
    return declared
