"""Stored forms leave out what is null: a field that may be null must not be required, or nobody can read them again."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

import lash_core.model
from lash_core.model.base import Model
from lash_core.model.message import AttachmentPart, ToolResultPart
from lash_core.model.queued_work import ProcessWakePayload
from lash_core.model.session_node import PluginPayload, ProtocolEvent
from lash_core.model.turn_input import AttachmentInput
from lash_core.model.turn_outcome import FinalValueFinish, ToolValueFinish


def _models(base: type[Model] = Model) -> Iterator[type[Model]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _takes_null(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation).validate_python(None)
    except ValidationError:
        return False
    return True


def test_no_field_that_may_be_null_is_required() -> None:
    for found in pkgutil.iter_modules(lash_core.model.__path__, "lash_core.model."):
        importlib.import_module(found.name)
    required = [
        f"{model.__name__}.{name}"
        for model in _models()
        if model.__module__.startswith("lash_core.model.")
        for name, field in model.model_fields.items()
        if field.is_required() and _takes_null(field.annotation)
    ]
    assert required == []


@pytest.mark.parametrize(
    "record",
    [
        FinalValueFinish(None),
        ToolValueFinish("sum", None),
        ProcessWakePayload(None),
        PluginPayload("notes", None),
        ProtocolEvent(None),
        AttachmentInput(None),
        AttachmentPart(None),
        ToolResultPart("call", "sum", None),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_of_null_is_read_as_it_was_written(record: Model) -> None:
    assert type(record).model_validate(record.to_json_value()) == record
