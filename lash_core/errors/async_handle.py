"""Errors of async handles and monitors (``docs/contracts/background_tasks.md`` 5, 6)."""

from __future__ import annotations

from lash_core.errors.base import InvalidArgumentError
from lash_core.errors.process import PluginSessionError


class InvalidAsyncHandleError(PluginSessionError, InvalidArgumentError):
    """What was given is no handle of an async task."""

    code = "async_handle_invalid"

    def __init__(self, what: str, value: object = None) -> None:
        super().__init__(f"Invalid async handle{what}", field="handle", value=value)


class UnknownAsyncHandleError(PluginSessionError):
    """The session has no async task of that id, or has forgotten how it ended."""

    code = "async_handle_unknown"

    def __init__(self, handle_id: str) -> None:
        super().__init__(f"Unknown async handle: {handle_id}", field="handle", value=handle_id)


class AsyncHandleConflictError(PluginSessionError):
    """The session that handles are moved to has one of that id; nothing was moved."""

    code = "async_handle_conflict"

    def __init__(self, handle_id: str) -> None:
        super().__init__(f"async handle `{handle_id}` already exists in successor", field="handle", value=handle_id)


class UnknownMonitorError(PluginSessionError):
    """The host configures no monitor of that id for the session."""

    code = "monitor_unknown"

    def __init__(self, monitor_id: str) -> None:
        super().__init__(f"unknown monitor `{monitor_id}`", field="monitor_id", value=monitor_id)


class MonitorFailedError(PluginSessionError):
    """A monitor's command could not be run, took too long, or ended with a code that is not 0."""

    code = "monitor_failed"
