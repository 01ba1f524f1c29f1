"""Selectors: how an event type reads values out of a payload (contract 1.5). Pure."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import Field

from lash_core.errors import SelectorError
from lash_core.model.base import JsonValue, Model


class PayloadSelector(Model):
    """The whole payload."""

    type: Literal["payload"] = "payload"


class PointerSelector(Model):
    """The value at a JSON pointer (RFC 6901); one that does not match is an error."""

    type: Literal["pointer"] = "pointer"
    pointer: str = Field(kw_only=False)


class ConstSelector(Model):
    """A fixed value."""

    type: Literal["const"] = "const"
    value: JsonValue = Field(default=None, kw_only=False)


class TemplateSelector(Model):
    """Text in which each ``{name}`` is replaced by the stringified field."""

    type: Literal["template"] = "template"
    template: str = Field(kw_only=False)
    fields: dict[str, AnySelector] = Field(default_factory=dict, kw_only=False)


class PresentSelector(Model):
    """True when the pointer matches."""

    type: Literal["present"] = "present"
    pointer: str = Field(kw_only=False)


AnySelector = Annotated[
    PayloadSelector | PointerSelector | ConstSelector | TemplateSelector | PresentSelector,
    Field(discriminator="type"),
]

TemplateSelector.model_rebuild()


class Selector:
    """Makes selectors: ``Selector.pointer("/text")``."""

    @staticmethod
    def payload() -> PayloadSelector:
        """The whole payload."""
        return PayloadSelector()

    @staticmethod
    def pointer(pointer: str) -> PointerSelector:
        """The value at a JSON pointer."""
        return PointerSelector(pointer=pointer)

    @staticmethod
    def const(value: JsonValue) -> ConstSelector:
        """A fixed value."""
        return ConstSelector(value=value)

    @staticmethod
    def template(template: str, fields: dict[str, AnySelector]) -> TemplateSelector:
        """A text with fields."""
        return TemplateSelector(template=template, fields=fields)

    @staticmethod
    def present(pointer: str) -> PresentSelector:
        """Whether a pointer matches."""
        return PresentSelector(pointer=pointer)


_ABSENT = object()

INDEX_DIGITS_MAX = 15
"""Longer array indexes cannot match anything, and turning them into numbers has a cost."""


def select(selector: AnySelector, payload: Any) -> Any:
    """Apply a selector.

    Raises:
        SelectorError: a pointer that does not match (``payload pointer ... did not match``).
    """
    match selector:
        case PayloadSelector():
            return payload
        case PointerSelector():
            found = _at_pointer(payload, selector.pointer)
            if found is _ABSENT:
                raise SelectorError(f"payload pointer `{selector.pointer}` did not match", field="payload")
            return found
        case ConstSelector():
            return selector.value
        case TemplateSelector():
            return _fill(selector, payload)
        case PresentSelector():
            return _at_pointer(payload, selector.pointer) is not _ABSENT


def _fill(selector: TemplateSelector, payload: Any) -> str:
    # In one pass: a value that looks like a field must stay the text that it is.
    texts = {"{" + name + "}": stringify(select(field, payload)) for name, field in selector.fields.items()}
    if not texts:
        return selector.template
    return re.sub("|".join(map(re.escape, texts)), lambda found: texts[found[0]], selector.template)


def stringify(value: Any) -> str:
    """A string as itself, anything else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def is_truthy(value: Any) -> bool:
    """Truth of a ``when`` selector: every number is true, 0 too; null and empty string, array, object are false."""
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return True
    return len(value) > 0


def _at_pointer(value: Any, pointer: str) -> Any:
    if pointer == "":
        return value
    if not pointer.startswith("/"):
        return _ABSENT
    for raw in pointer[1:].split("/"):
        token = raw.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(token, _ABSENT)
        elif (
            isinstance(value, list | tuple)
            and token.isascii()
            and token.isdigit()
            and len(token) <= INDEX_DIGITS_MAX
            and (not token.startswith("0") or len(token) == 1)
        ):
            value = value[int(token)] if int(token) < len(value) else _ABSENT
        else:
            return _ABSENT
        if value is _ABSENT:
            return _ABSENT
    return value
