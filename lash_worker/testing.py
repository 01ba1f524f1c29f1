"""Pytest fixtures for apps: ``lash_stores`` and ``lash_app``. Loaded with pytest itself, so imports wait for their use.

.. code-block:: python

    async def test_build(lash_app):
        async with lash_app(app) as lash:
            handle = await lash.enqueue("report.build", {"month": "2026-10"})
            assert (await handle.result(timeout=5))["month"] == "2026-10"
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lash_core.client import LashClient
    from lash_core.memory_store import InMemoryStores
    from lash_worker.app import App
    from lash_worker.worker_stores import WorkerStores

    RunApps = Callable[..., AbstractAsyncContextManager[LashClient]]

START_DEADLINE_SECONDS = 10.0


@pytest.fixture
def lash_stores() -> InMemoryStores:
    """Fresh stores in memory, on the machine's clock."""
    from lash_core.memory_store import InMemoryStores  # noqa: PLC0415 - pytest loads this module for everybody

    return InMemoryStores()


@pytest.fixture
def lash_app(lash_stores: InMemoryStores) -> RunApps:
    """``lash_app(app, …)``: a context with a client, while a worker in this program runs the apps.

    Further arguments: ``stores=`` to run on others than ``lash_stores``, and the fields of ``WorkerSettings``.
    """

    def run(*apps: App, stores: WorkerStores | None = None, **settings: Any) -> AbstractAsyncContextManager[LashClient]:
        return running_apps(apps, stores or lash_stores, **settings)

    return run


@asynccontextmanager
async def running_apps(apps: tuple[App, ...], stores: Any, **settings: Any) -> AsyncGenerator[LashClient]:
    """A client of ``stores`` while a worker in this program runs ``apps``; what still runs at the end is handed over.

    Args:
        apps: what the worker can run.
        stores: ``InMemoryStores`` or ``RedisStores``; the caller closes them.
        settings: fields of ``WorkerSettings``.

    Raises:
        LashError: the worker cannot start.
        TimeoutError: it did not start within ``START_DEADLINE_SECONDS``.
    """
    import asyncio  # noqa: PLC0415 - see above

    from lash_core.client import LashClient  # noqa: PLC0415
    from lash_worker.supervisor import Supervisor  # noqa: PLC0415
    from lash_worker.worker_settings import WorkerSettings  # noqa: PLC0415

    supervisor = Supervisor(WorkerSettings(**settings), apps, stores)
    try:
        async with asyncio.timeout(START_DEADLINE_SECONDS):
            await supervisor.start()
        yield LashClient(stores, app=_Declared(apps))
    finally:
        await supervisor.stop()
        supervisor.worker.config.plugin_host.close()


class _Declared:
    """The manifests of several apps as one."""

    def __init__(self, apps: tuple[App, ...]) -> None:
        self._apps = apps

    def manifests(self) -> dict[str, Any]:
        """Kind → manifest."""
        return {kind: manifest for app in self._apps for kind, manifest in app.manifests().items()}
