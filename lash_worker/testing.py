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

    Further arguments: ``stores=`` to run on others than ``lash_stores``, ``isolated=`` for as many work-horses (their
    apps must have been loaded with ``load_app``), and the fields of ``WorkerSettings``.
    """

    def run(*apps: App, stores: WorkerStores | None = None, **settings: Any) -> AbstractAsyncContextManager[LashClient]:
        return running_apps(apps, stores or lash_stores, **settings)

    return run


@asynccontextmanager
async def running_apps(
    apps: tuple[App, ...], stores: Any, *, isolated: int = 0, **settings: Any
) -> AsyncGenerator[LashClient]:
    """A client of ``stores`` while a worker in this program runs ``apps``; what still runs at the end is handed over.

    Args:
        apps: what the worker can run.
        stores: ``InMemoryStores`` or ``RedisStores``; the caller closes them.
        isolated: work-horses; 0 = kinds with isolation are not run.
        settings: fields of ``WorkerSettings``; ``LASH_PARK_AFTER_MS`` counts unless ``park_after_ms`` is given.

    Raises:
        LashError: the worker cannot start.
        TimeoutError: it did not start within ``START_DEADLINE_SECONDS``.
    """
    import asyncio  # noqa: PLC0415 - see above

    from lash_core.client import LashClient  # noqa: PLC0415
    from lash_core.settings import load_settings  # noqa: PLC0415
    from lash_worker.supervisor import Supervisor  # noqa: PLC0415
    from lash_worker.worker_settings import WorkerSettings  # noqa: PLC0415

    settings.setdefault("park_after_ms", load_settings().park_after_ms)
    horses = None
    if isolated:
        from lash_worker.isolation.opening import open_horses  # noqa: PLC0415

        horses = await open_horses(isolated, apps, load_settings())
    supervisor = None
    try:
        supervisor = Supervisor(WorkerSettings(**settings), apps, stores, horses)
        async with asyncio.timeout(START_DEADLINE_SECONDS):
            await supervisor.start()
        yield LashClient(stores, app=_Declared(apps))
    finally:
        if horses is not None and supervisor is None:
            await horses.stop()
        if supervisor is not None:
            await supervisor.stop()
            supervisor.worker.config.plugin_host.close()


class _Declared:
    """The manifests of several apps as one."""

    def __init__(self, apps: tuple[App, ...]) -> None:
        self._apps = apps

    def manifests(self) -> dict[str, Any]:
        """Kind → manifest."""
        return {kind: manifest for app in self._apps for kind, manifest in app.manifests().items()}
