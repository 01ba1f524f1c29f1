"""Values that stand for others in a tool's arguments, and what becomes of them. Pure.

``{"__projected__": "call:<call id>"}`` stands for the value that a call of this session answered,
``{"__projected__": "history:<index>"}`` for an entry of its history: a model names what it saw instead of repeating it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lash_core.errors import InvalidArgumentError
from lash_core.model.base import JsonValue
from lash_core.model.tool_state import ToolArgumentProjectionPolicy

PROJECTED = "__projected__"
PROJECTIONS_MAX = 20
"""References in the arguments of one call: each may stand for the largest answer of a tool."""

FindValue = Callable[[str], JsonValue]
"""The value that a reference stands for. Raises: KeyError."""


def projected_ref(value: JsonValue) -> str | None:
    """The reference, if the value is nothing else than one."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(value.get(PROJECTED), str):
        return value[PROJECTED]
    return None


def project_arguments(args: JsonValue, policy: ToolArgumentProjectionPolicy, find: FindValue) -> JsonValue:
    """The arguments as the tool gets them: references replaced, but for those in the field that keeps them.

    What a reference stands for is taken as it is: references inside it are plain data.

    Raises:
        InvalidArgumentError: a reference stands for nothing, or there are over ``PROJECTIONS_MAX`` of them.
    """
    walk = _Walk(find)
    kept = policy.field if policy.kind == "preserve_projected_refs_in_field" else None
    if kept is None or not isinstance(args, dict) or projected_ref(args) is not None:
        return walk.value(args)
    return {name: value if name == kept else walk.value(value) for name, value in args.items()}


class _Walk:
    def __init__(self, find: FindValue) -> None:
        self._find = find
        self._found = 0

    def value(self, value: Any) -> Any:
        ref = projected_ref(value)
        if ref is not None:
            return self._of(ref)
        if isinstance(value, dict):
            return {name: self.value(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def _of(self, ref: str) -> JsonValue:
        self._found += 1
        if self._found > PROJECTIONS_MAX:
            raise InvalidArgumentError(
                f"over {PROJECTIONS_MAX} projected values in one call", field="args", limit=PROJECTIONS_MAX
            )
        try:
            return self._find(ref)
        except KeyError:
            raise InvalidArgumentError(
                f"projected value {ref[:200]!r} stands for nothing in this session", field=PROJECTED, value=ref[:200]
            ) from None
