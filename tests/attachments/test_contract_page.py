"""docs/contracts/attachments.md names suites, verbs and bounds that exist."""

from __future__ import annotations

import re
from pathlib import Path

from lash_core.store import attachment_store
from lash_core.store.attachment_manifest import SESSION_ATTACHMENTS_MAX, AttachmentManifest
from lash_core.store.attachment_store import AttachmentStore
from lash_core.store.content_sweep import GRACE_MS, SweptContent
from lash_core.testing.conformance import (
    artifact_store,
    attachment_manifest,
    content_sweep,
    process_env_store,
)
from lash_core.testing.conformance import attachment_store as attachment_suite

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contracts" / "attachments.md").read_text()


def test_the_page_names_every_suite() -> None:
    """Whoever reads a rule finds where it is checked."""
    suites = (artifact_store, attachment_manifest, attachment_suite, content_sweep, process_env_store)

    assert set() == {suite.__name__.rpartition(".")[2] for suite in suites} - set(re.findall(r"`([a-z_]+)`", PAGE))


def test_the_page_names_every_verb() -> None:
    """No operation is without a rule."""
    verbs = {name for contract in (AttachmentStore, AttachmentManifest, SweptContent) for name in vars(contract)}
    own = {name for name in verbs if not name.startswith("_")} - {"family", "durability_tier", "sessions_page"}

    assert set() == {name for name in own if not re.search(rf"\b{name}\b", PAGE)}


def test_the_bounds_of_the_page_are_those_of_the_code() -> None:
    """A number that nothing checks becomes false."""
    assert (4 * 2**20, 256 * 2**10, 2**30) == (
        attachment_store.ATTACHMENT_BYTES_MAX,
        attachment_store.ATTACHMENT_SMALL_BYTES_MAX,
        attachment_store.ATTACHMENT_FILE_BYTES_MAX,
    )
    assert (10_000, 24 * 3_600_000) == (SESSION_ATTACHMENTS_MAX, GRACE_MS)


def test_the_cases_that_the_decisions_name_exist() -> None:
    """By their present names."""
    names = {name for name, _ in content_sweep.cases()}
    cited: set[str] = set()
    for page in (ROOT / "docs" / "adr").glob("015*.md"):
        cited |= set(re.findall(r"`(content_sweep\w*\.[a-z_]+)`", page.read_text()))

    assert cited
    assert set() == cited - names
