"""Copies for callers: nobody who changes a payload that was read may change what is stored."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from lash_core.model.base import Model
from lash_core.model.event import ProcessEvent
from lash_core.model.record import ProcessRecord

ModelT = TypeVar("ModelT", bound=Model)


def detached(model: ModelT, **changes: Any) -> ModelT:
    """The model with every part of its own, and these fields replaced."""
    return model.model_copy(deep=True, update=changes)


def detached_event(event: ProcessEvent) -> ProcessEvent:
    """The event with a payload and a meaning of its own."""
    if event.semantics.terminal is None and not isinstance(event.payload, dict | list):
        return event
    update: dict[str, Any] = {"payload": copy.deepcopy(event.payload)}
    if event.semantics.terminal is not None:
        update["semantics"] = event.semantics.model_copy(deep=True)
    return event.model_copy(update=update)


def detached_record(record: ProcessRecord) -> ProcessRecord:
    """The row with an input and an outcome of its own."""
    update: dict[str, Any] = {"input": record.input.model_copy(deep=True)}
    if record.is_terminal:
        update["status"] = record.status.model_copy(deep=True)
    return record.model_copy(update=update)
