"""A shared runtime is taken back by its only holder."""

from __future__ import annotations

import gc

import pytest

from lash_core.errors.session import SessionError
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.runtime_builder import EmbeddedRuntimeBuilder
from lash_core.runtime.runtime_handle import RuntimeHandle
from lash_core.testing.conformance.lifecycle.arrange import POLICY


async def shared() -> tuple[LashRuntime, RuntimeHandle]:
    runtime = await EmbeddedRuntimeBuilder(policy=POLICY).build()
    return runtime, RuntimeHandle(runtime)


async def test_only_the_sole_holder_gets_the_runtime() -> None:
    """Others get their handle back; one that was dropped or released holds nothing."""
    runtime, first = await shared()
    second = first.clone()
    assert first is first.try_into_runtime()
    second.release()
    second.release()
    third = second_of(first)
    assert first is first.try_into_runtime()
    del third
    gc.collect()

    assert runtime is first.try_into_runtime()
    with pytest.raises(SessionError, match="holds no runtime"):
        first.clone()


def second_of(handle: RuntimeHandle) -> RuntimeHandle:
    return handle.clone()


async def test_nobody_takes_it_from_under_a_worker() -> None:
    """Who works with it works alone."""
    runtime, handle = await shared()
    async with handle.writer() as held:
        assert runtime is held
        assert handle is handle.try_into_runtime()

    assert runtime is handle.try_into_runtime()
