"""Stores of bytes by content address keep their contracts on every backend: each case of five suites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lash_core.clock import VirtualClock
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
from tests.conformance.suites import failures_on_stores_of_their_own, over_all_backends, run_case, without_a_promise

SUITES: tuple[ModuleType, ...] = (
    attachment_store,
    attachment_manifest,
    process_env_store,
    artifact_store,
    content_sweep,
)
CASES: dict[str, AnyCase] = {name: case for suite in SUITES for name, case in suite.cases()}
FOLDERS = ("files", "tiered")
"""Memory stores whose attachments are in a folder: all of them, or the larger ones."""
SMALL_BYTES_MAX = 45
"""Most cases store 41 bytes."""


@pytest.mark.parametrize(("backend", "name"), over_all_backends(CASES))
async def test_the_contract_is_kept(backend: str, name: str, server_url: Callable[[str], str]) -> None:
    """Each promise, on stores whose clock can be moved."""
    await run_case(CASES[name], backend, server_url, name.partition(".")[0])


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


@pytest.mark.in_memory
async def test_the_suites_run_on_plain_stores() -> None:
    """Users have no virtual clock: on stores that nobody can move the cases wait for real, and still pass."""
    # Each on its own: sweeps look at everything.
    assert [] == await failures_on_stores_of_their_own(CASES)


def test_every_case_states_its_promise() -> None:
    """A case without a docstring tells its reader nothing."""
    assert [] == without_a_promise(CASES)
