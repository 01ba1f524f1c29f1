"""Stores of bytes by content address keep their contracts on every backend: each case of five suites."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lash_core.clock import VirtualClock
from lash_core.errors import LashError
from lash_core.file_store.attachment_store import FileAttachmentStore
from lash_core.file_store.tiered_attachments import TieredAttachmentStore
from lash_core.memory_store.stores import InMemoryStores
from lash_core.testing.conformance import (
    artifact_store,
    attachment_manifest,
    attachment_store,
    content_sweep,
    process_env_store,
)
from lash_core.testing.conformance.suite import AnyCase
from tests.conformance.backends import BACKENDS, open_stores

SUITES: tuple[ModuleType, ...] = (
    attachment_store,
    attachment_manifest,
    process_env_store,
    artifact_store,
    content_sweep,
)
CASES: dict[str, AnyCase] = {name: case for suite in SUITES for name, case in suite.cases()}
BESIDE_EACH_OTHER_MAX = 24
"""Cases at once without a virtual clock: enough to hide their real waits."""

FOLDERS = ("files", "tiered")
"""Memory stores whose attachments are in a folder: all of them, or the larger ones."""
SMALL_BYTES_MAX = 45
"""Most cases store 41 bytes."""


def _parameters() -> list[object]:
    marks = {"cluster": [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]}
    return [
        pytest.param(backend, name, id=f"{backend}-{name}", marks=marks.get(backend, []))
        for backend in BACKENDS
        for name in CASES
    ]


@pytest.mark.parametrize(("backend", "name"), _parameters())
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise, on stores whose clock can be moved."""
    suite = name.partition(".")[0].replace("_", "-")
    async with open_stores(backend, server_url(backend), f"c-{suite}"[:32]) as stores:
        await CASES[name](stores)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", FOLDERS)
async def test_the_contract_is_kept_in_a_folder(kind: str, name: str, tmp_path: Path) -> None:
    """Attachments in files keep every promise that others keep."""
    async with InMemoryStores(VirtualClock()) as stores:
        files = FileAttachmentStore(tmp_path, stores.process_registry.server_time_ms)
        tiered = TieredAttachmentStore(stores.attachments, files, small_bytes_max=SMALL_BYTES_MAX)
        attachments: Any = files if kind == "files" else tiered
        stores.attachments = attachments
        stores.swept_contents = (stores.env_store, stores.artifacts, attachments)
        await CASES[name](stores)


async def test_the_suites_run_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    room = asyncio.Semaphore(BESIDE_EACH_OTHER_MAX)

    async def run(name: str, case: AnyCase) -> str | None:
        # Stores of its own for each case, since sweeps look at everything.
        async with room, InMemoryStores() as stores:
            try:
                await case(stores)
            except (AssertionError, LashError) as error:
                return f"{name}: {error}"
        return None

    answers = await asyncio.gather(*(run(name, case) for name, case in CASES.items()))

    assert [] == [answer for answer in answers if answer is not None]


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == [name for name, case in CASES.items() if not (case.__doc__ or "").strip()]
