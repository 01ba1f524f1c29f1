"""What the suite of a runtime's life cannot see: the log, and usage that no commit has stored yet."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from lash_core.errors import OutcomeUnknownError
from lash_core.errors.session import SessionError
from lash_core.memory_store.stores import InMemoryStores
from lash_core.model.session import ModelSpec, SessionPolicy
from lash_core.model.session_commit import (
    PersistedSessionRead,
    RuntimeCommit,
    RuntimeCommitResult,
    SessionReadScope,
)
from lash_core.model.session_state import RuntimeSessionState
from lash_core.model.tool_state import ToolEntry, ToolManifest, ToolState
from lash_core.model.usage import TokenLedgerEntry, TokenUsage
from lash_core.runtime.host_config import RuntimeHostConfig
from lash_core.runtime.lash_runtime import LashRuntime
from lash_core.runtime.plugin.host import PluginHost
from lash_core.runtime.runtime_environment import RuntimeEnvironment
from lash_core.runtime.runtime_parking import ParkedSession
from lash_core.store.runtime_persistence import RuntimePersistence
from lash_core.testing.conformance.lifecycle.arrange import Scene

POLICY = SessionPolicy(model=ModelSpec("m"), provider_id=" p ")


async def test_orphaned_tools_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """They are no reason not to open the session."""
    stored = ToolState(generation=4, tools={"gone": ToolEntry(manifest=ToolManifest("gone", "search"))})
    environment = RuntimeEnvironment(RuntimeHostConfig.in_memory(), PluginHost())
    with caplog.at_level(logging.WARNING):
        runtime = await LashRuntime.from_environment(
            environment, POLICY, RuntimeSessionState(session_id="s", tool_state_snapshot=stored)
        )

    assert "session s has orphaned tools: gone" in caplog.text
    assert (5, "p") == (runtime.tools.generation, runtime.policy.provider_id)


async def test_usage_of_children_is_reported_before_and_stored_with_the_next_commit() -> None:
    """Once: the ledger in memory and the stored one have the same sum."""
    scene = Scene(InMemoryStores())
    runtime = await scene.runtime()
    spent = TokenLedgerEntry("child:x", "m", TokenUsage(input=3))
    runtime.shared_token_ledger.append(spent)
    before = runtime.usage_report()
    await runtime.append_session_nodes([])
    read = await (await scene.store()).load_session()

    assert read is not None
    assert (spent,) == read.token_ledger
    assert before == runtime.usage_report()
    assert [] == runtime.shared_token_ledger


async def test_handles_that_cannot_be_listed_are_none(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the registry raises: a host asks for them to show them."""

    class Broken:
        async def list_handles(self, _scope: object) -> None:
            raise OSError("no route")

    registry: Any = Broken()
    runtime = await Scene(InMemoryStores()).runtime(process_registry=registry)

    assert () == await runtime.list_process_handles()
    assert "cannot be listed" in caplog.text


class _Foreign:
    """A store that is no part of lash: it raises what it likes."""

    def __init__(self, store: RuntimePersistence) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        raise ValueError("disk full")

    async def load_session(self, scope: SessionReadScope) -> PersistedSessionRead | None:
        raise ValueError("disk gone")


async def test_errors_of_a_foreign_store_say_what_was_being_done() -> None:
    """Whether a failed commit wrote anything is not known of it; a read wrote nothing."""
    scene = Scene(InMemoryStores())
    store: Any = _Foreign(await scene.store())
    environment = scene.environment()
    runtime = await LashRuntime.from_environment(environment, POLICY, RuntimeSessionState(scene.session_id), store)
    with pytest.raises(OutcomeUnknownError, match="failed to persist runtime state: disk full"):
        await runtime.park()
    runtime.close()
    for call, text in (
        (LashRuntime.resume(ParkedSession(scene.session_id, store, POLICY), environment), "load runtime state"),
        (runtime.orphaned_node_ids(), "load full graph"),
    ):
        with pytest.raises(SessionError, match=f"failed to {text}: disk gone"):
            await call
