"""The conformance suite of ``lash_core.store.artifact_store.ArtifactStore`` (docs/contracts/attachments.md 7)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import Protocol

from lash_core.errors import InvalidArgumentError, LimitExceededError
from lash_core.model.disposition import DurabilityTier
from lash_core.store.artifact_store import ARTIFACT_BYTES_MAX, ArtifactStore
from lash_core.store.content_sweep import SweptContent
from lash_core.testing.conformance import content_cases
from lash_core.testing.conformance.content_cases import fresh_bytes
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import ConformanceStores
from lash_core.testing.conformance.suite import AnyCase, cases_in


class SweptArtifacts(ArtifactStore, SweptContent, Protocol):
    """Artifacts that can be swept."""


class ArtifactStores(ConformanceStores, Protocol):
    """Stores with artifacts."""

    @property
    def artifacts(self) -> SweptArtifacts:
        """The store under test."""
        ...


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(artifact_store.<function>, function)``. One set of stores serves all of them."""
    return cases_in(sys.modules[__name__])


async def every_store_states_its_tier_and_family(stores: ArtifactStores) -> None:
    """Inline or durable, the same on every call."""
    assert stores.artifacts.durability_tier() in (DurabilityTier.INLINE, DurabilityTier.DURABLE)
    assert "artifact" == stores.artifacts.family
    assert isinstance(stores.artifacts, ArtifactStore)


async def any_bytes_come_back_by_their_digest(stores: ArtifactStores) -> None:
    """The store makes the address."""
    data = bytes(range(256)) + fresh_bytes()

    ref = await stores.artifacts.put_artifact(data)

    assert f"artifact:sha256:{hashlib.sha256(data).hexdigest()}" == ref
    assert ref == await stores.artifacts.put_artifact(data)
    assert data == await stores.artifacts.get_artifact(ref)


async def an_unknown_artifact_is_none(stores: ArtifactStores) -> None:
    """An engine compiles again what is not there."""
    assert await stores.artifacts.get_artifact("artifact:sha256:" + "0" * 64) is None


async def what_is_no_address_is_refused(stores: ArtifactStores) -> None:
    """It is bad input and not an absence."""
    for text in ("", "artifact:sha256:", "process-env:sha256:" + "0" * 64):
        with refused(InvalidArgumentError):
            await stores.artifacts.get_artifact(text)


async def one_over_the_limit_is_refused(stores: ArtifactStores) -> None:
    """The error names size and limit."""
    with refused(LimitExceededError, str(ARTIFACT_BYTES_MAX)) as refusal:
        await stores.artifacts.put_artifact(b"x" * (ARTIFACT_BYTES_MAX + 1))

    assert ARTIFACT_BYTES_MAX == refusal.error.limit


async def each_is_listed_once(stores: ArtifactStores) -> None:
    """Whatever the size of the pages."""
    await content_cases.check_listed_once(stores.artifacts, stores.artifacts.put_artifact)


async def a_put_refreshes_the_age(stores: ArtifactStores) -> None:
    """A listing by age leaves out what was put lately."""
    await content_cases.check_ages(stores, stores.artifacts, stores.artifacts.put_artifact)


async def only_what_nobody_put_again_is_swept(stores: ArtifactStores) -> None:
    """The condition of a sweep is checked where the bytes are."""
    store = stores.artifacts
    await content_cases.check_delete_unchanged(store, store.put_artifact, store.get_artifact)


async def a_cursor_of_something_else_is_refused(stores: ArtifactStores) -> None:
    """It is bad input and not the beginning."""
    await content_cases.check_bad_cursor(stores.artifacts)
