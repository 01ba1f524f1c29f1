"""Workers and apps. Names are loaded when they are first used, so that ``lash --help`` stays quick."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lash_core.runtime.process.context import ProcessContext
    from lash_core.runtime.tools import ToolContext
    from lash_worker.app import App, load_app
    from lash_worker.driver import ProcessWorkDriver
    from lash_worker.worker import DurableProcessWorker
    from lash_worker.worker_config import DurableProcessWorkerConfig
    from lash_worker.worker_settings import WorkerSettings

__all__ = [
    "App",
    "DurableProcessWorker",
    "DurableProcessWorkerConfig",
    "ProcessContext",
    "ProcessWorkDriver",
    "ToolContext",
    "WorkerSettings",
    "load_app",
]

_HOMES = {
    "App": "lash_worker.app",
    "DurableProcessWorker": "lash_worker.worker",
    "DurableProcessWorkerConfig": "lash_worker.worker_config",
    "ProcessContext": "lash_core.runtime.process.context",
    "ProcessWorkDriver": "lash_worker.driver",
    "ToolContext": "lash_core.runtime.tools",
    "WorkerSettings": "lash_worker.worker_settings",
    "load_app": "lash_worker.app",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
