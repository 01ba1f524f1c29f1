"""The handle of a process as code and models see it (contract 1.11, 4.3). Pure."""

from __future__ import annotations

from typing import Any

from lash_core.errors import PluginSessionError
from lash_core.model.facts import ProcessHandleDescriptor
from lash_core.model.record import ProcessRecord

HANDLE_KIND = "process"


def process_handle_json(process_id: str) -> dict[str, Any]:
    """``{"__handle__": "process", "id": …}``."""
    return {"__handle__": HANDLE_KIND, "id": process_id}


def process_handle_summary(record: ProcessRecord, descriptor: ProcessHandleDescriptor | None = None) -> dict[str, Any]:
    """The handle with what a list shows of its process; ``definition`` is there only when the process has one."""
    summary: dict[str, Any] = {
        **process_handle_json(record.id),
        "process_id": record.id,
        "descriptor": (descriptor or ProcessHandleDescriptor()).to_json_value(),
        "status": record.status.state,
    }
    if record.identity.definition is not None:
        summary["definition"] = record.identity.definition
    return summary


def parse_process_handle(value: Any) -> str:
    """The process id of a handle.

    Raises:
        PluginSessionError: ``missing `__handle__```, ``Invalid process handle kind``, ``missing `id```.
    """
    kind = value.get("__handle__") if isinstance(value, dict) else None
    if kind is None:
        raise PluginSessionError("process handle is missing `__handle__`", field="__handle__")
    if kind != HANDLE_KIND:
        raise PluginSessionError(
            f"Invalid process handle kind: {str(kind)[:80]!r}", field="__handle__", value=str(kind)
        )
    process_id = value.get("id")
    if not isinstance(process_id, str) or not process_id:
        raise PluginSessionError("process handle is missing `id`", field="id")
    return process_id
