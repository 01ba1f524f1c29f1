"""The value that stands for an async task in what models say (``docs/contracts/background_tasks.md`` 5). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, cast

from lash_core.errors.async_handle import InvalidAsyncHandleError
from lash_core.model.base import JsonValue, Model

HANDLE_FIELD = "__handle__"
TASK_HANDLE = "task"


class AsyncHandleNamespace(StrEnum):
    """What an entry of the table is: work that a tool started, or a monitor."""

    TOOL = "tool"
    MONITOR = "monitor"


class AsyncHandleMetadata(Model):
    """What an entry of the table says of itself; ``identifier`` names it in its namespace."""

    tool_name: str
    namespace: AsyncHandleNamespace = AsyncHandleNamespace.TOOL
    identifier: str


def async_handle_value(handle_id: str, tool_name: str) -> dict[str, JsonValue]:
    """The handle as a model is given it."""
    return {HANDLE_FIELD: TASK_HANDLE, "id": handle_id, "tool": tool_name}


def parse_async_handle(value: JsonValue) -> str:
    """The id in a handle.

    Raises:
        InvalidAsyncHandleError: it is no handle, one of another kind, or without an id.
    """
    given = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    kind = given.get(HANDLE_FIELD)
    if not isinstance(kind, str):
        raise InvalidAsyncHandleError(f": missing `{HANDLE_FIELD}`", value)
    if kind != TASK_HANDLE:
        raise InvalidAsyncHandleError(f" kind: {kind}", kind)
    handle_id = given.get("id")
    if not isinstance(handle_id, str) or not handle_id:
        raise InvalidAsyncHandleError(": missing `id`", value)
    return handle_id
