"""The conformance suite of ``lash_core.store.process_env_store.ProcessExecutionEnvStore`` (contract 1.11, 4.8)."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from typing import Protocol

from lash_core.errors import InvalidArgumentError, LimitExceededError, MissingEnvironmentError
from lash_core.model.disposition import DurabilityTier
from lash_core.model.environment import EMPTY_ENV_REF, EMPTY_ENVIRONMENT, ProcessExecutionEnvSpec
from lash_core.store.content_address import content_ref
from lash_core.store.content_sweep import SweptContent
from lash_core.store.process_env_store import (
    ENVIRONMENT_BYTES_MAX,
    ENVIRONMENT_FAMILY,
    ProcessExecutionEnvStore,
    load_process_execution_env,
    persist_process_execution_env,
)
from lash_core.testing.conformance import content_cases
from lash_core.testing.conformance.expectations import refused
from lash_core.testing.conformance.stores import ConformanceStores
from lash_core.testing.conformance.suite import AnyCase, cases_in


class SweptEnvironments(ProcessExecutionEnvStore, SweptContent, Protocol):
    """Environments that can be swept."""


class EnvironmentStores(ConformanceStores, Protocol):
    """Stores with environments."""

    @property
    def env_store(self) -> SweptEnvironments:
        """The store under test."""
        ...


def cases() -> Iterator[tuple[str, AnyCase]]:
    """Every case as ``(process_env_store.<function>, function)``. One set of stores serves all of them."""
    return cases_in(sys.modules[__name__])


def _spec() -> ProcessExecutionEnvSpec:
    return ProcessExecutionEnvSpec(plugin_options={"a": secrets.token_hex(8), "ü": [1, None]})


async def every_store_states_its_tier_and_family(stores: EnvironmentStores) -> None:
    """Inline or durable, the same on every call."""
    assert stores.env_store.durability_tier() in (DurabilityTier.INLINE, DurabilityTier.DURABLE)
    assert "process-env" == stores.env_store.family
    assert isinstance(stores.env_store, ProcessExecutionEnvStore)


async def the_empty_environment_is_there_from_the_start(stores: EnvironmentStores) -> None:
    """Plain processes name it, and nobody has to put it."""
    assert EMPTY_ENVIRONMENT.encode() == await stores.env_store.get(EMPTY_ENV_REF)


async def the_same_environment_has_the_same_ref(stores: EnvironmentStores) -> None:
    """The order of keys does not matter; putting it twice is putting it once."""
    one = _spec()
    other = ProcessExecutionEnvSpec(plugin_options=dict(reversed(one.plugin_options.items())))

    ref = await persist_process_execution_env(stores.env_store, one)

    assert ref == await persist_process_execution_env(stores.env_store, other)
    assert one == await load_process_execution_env(stores.env_store, ref)


async def a_missing_environment_is_named(stores: EnvironmentStores) -> None:
    """The error carries the ref and the contract's words."""
    ref = _spec().env_ref

    assert await stores.env_store.get(ref) is None
    with refused(MissingEnvironmentError, f"missing process execution env `{ref}`"):
        await load_process_execution_env(stores.env_store, ref)


async def bytes_that_are_not_those_of_the_address_are_refused(stores: EnvironmentStores) -> None:
    """Nobody can put an environment under another one's ref."""
    with refused(InvalidArgumentError, "is not the address of its bytes"):
        await stores.env_store.put(EMPTY_ENV_REF, b"{}")

    assert EMPTY_ENVIRONMENT.encode() == await stores.env_store.get(EMPTY_ENV_REF)


async def what_is_no_address_is_refused(stores: EnvironmentStores) -> None:
    """Reading it is bad input and not an absence."""
    for text in ("", "process-env:sha256:", "artifact:sha256:" + "0" * 64, "process-env:sha256:" + "G" * 64):
        with refused(InvalidArgumentError):
            await stores.env_store.get(text)


async def one_over_the_limit_is_refused(stores: EnvironmentStores) -> None:
    """The error names size and limit."""
    data = json.dumps("x" * ENVIRONMENT_BYTES_MAX).encode()

    with refused(LimitExceededError, str(ENVIRONMENT_BYTES_MAX)) as refusal:
        await stores.env_store.put(content_ref(ENVIRONMENT_FAMILY, data), data)

    assert ENVIRONMENT_BYTES_MAX == refusal.error.limit


async def each_is_listed_once(stores: EnvironmentStores) -> None:
    """Whatever the size of the pages."""
    await content_cases.check_listed_once(stores.env_store, _put(stores))


async def a_put_refreshes_the_age(stores: EnvironmentStores) -> None:
    """A listing by age leaves out what was put lately."""
    await content_cases.check_ages(stores, stores.env_store, _put(stores))


async def only_what_nobody_put_again_is_swept(stores: EnvironmentStores) -> None:
    """The condition of a sweep is checked where the bytes are."""
    await content_cases.check_delete_unchanged(stores.env_store, _put(stores), stores.env_store.get)


async def a_cursor_of_something_else_is_refused(stores: EnvironmentStores) -> None:
    """It is bad input and not the beginning."""
    await content_cases.check_bad_cursor(stores.env_store)


def _put(stores: EnvironmentStores) -> content_cases.Put:
    async def put(data: bytes) -> str:
        ref = content_ref(ENVIRONMENT_FAMILY, data)
        await stores.env_store.put(ref, data)
        return ref

    return put
