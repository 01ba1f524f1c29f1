"""Params of a trigger's processes: a JSON template filled from the occurrence's payload. Pure."""

from __future__ import annotations

from typing import Any

from lash_core.errors import InvalidArgumentError
from lash_core.model.selector import Selector, select

PAYLOAD_KEY = "$payload"
"""An object with this one key stands for the part of the payload that its JSON pointer names; "" is all of it."""


def fill_params(template: Any, payload: Any) -> Any:
    """The params of one delivery.

    Raises:
        SelectorError: a pointer does not match the payload.
    """
    if isinstance(template, dict):
        if template.keys() == {PAYLOAD_KEY}:
            return select(Selector.pointer(template[PAYLOAD_KEY]), payload)
        return {name: fill_params(item, payload) for name, item in template.items()}
    if isinstance(template, list | tuple):
        return [fill_params(item, payload) for item in template]
    return template


def uses_payload(template: Any) -> bool:
    """True when the params depend on the occurrence."""
    if isinstance(template, dict):
        return template.keys() == {PAYLOAD_KEY} or any(uses_payload(item) for item in template.values())
    return isinstance(template, list | tuple) and any(uses_payload(item) for item in template)


def check_params_template(template: Any, path: str = "params") -> None:
    """Refuse a ``$payload`` that is no JSON pointer, or that stands beside other keys. Raises: InvalidArgumentError."""
    if isinstance(template, dict):
        if PAYLOAD_KEY in template:
            _check_reference(template, path)
            return
        for name, item in template.items():
            check_params_template(item, f"{path}.{name}")
    elif isinstance(template, list | tuple):
        for index, item in enumerate(template):
            check_params_template(item, f"{path}[{index}]")


def _check_reference(template: dict[str, Any], path: str) -> None:
    pointer = template[PAYLOAD_KEY]
    if len(template) > 1:
        raise InvalidArgumentError(f'{path}: "{PAYLOAD_KEY}" must be the only key of its object', field=path)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise InvalidArgumentError(
            f'{path}: "{PAYLOAD_KEY}" must be a JSON pointer such as "/month", or "" for the whole payload',
            field=path,
            value=pointer if isinstance(pointer, str) else None,
        )
