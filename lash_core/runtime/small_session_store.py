"""The former small session stores behind ``RuntimePersistence``, until both back ends have the whole one."""

from __future__ import annotations

from typing import Any

from lash_core.model.disposition import DurabilityTier
from lash_core.model.owner import LeaseOwnerIdentity
from lash_core.model.session_commit import (
    CommitManifest,
    HydratedSessionCheckpoint,
    PersistedSessionConfig,
    PersistedSessionRead,
    RuntimeCommit,
    RuntimeCommitResult,
)
from lash_core.model.session_lease import SessionExecutionLease, SessionLeaseAcquired
from lash_core.store.session_store import RuntimeCommit as SmallCommit
from lash_core.store.session_store import RuntimePersistence as SmallStore


def as_persistence(store: Any) -> Any:
    """The store itself, or a face for a small one; None stays None."""
    whole = store is None or hasattr(store, "try_claim_session_execution_lease")
    return store if whole else SmallSessionStore(store)


class SmallSessionStore:
    """Policy, tool state and plugin snapshot; no graph, no lease."""

    def __init__(self, store: SmallStore) -> None:
        self._store = store

    @property
    def session_id(self) -> str:
        """The session it is bound to."""
        return self._store.session_id

    def durability_tier(self) -> DurabilityTier:
        """That of the small store."""
        return self._store.durability_tier()

    async def load_session(self, scope: object = None) -> PersistedSessionRead | None:
        """What is stored."""
        read = await self._store.load_session()
        if read is None:
            return None
        tools, plugins = read.tool_state, read.plugin_snapshot
        return PersistedSessionRead(
            session_id=read.session_id,
            head_revision=read.head_revision,
            config=PersistedSessionConfig.of_policy(read.policy),
            agent_frames=(),
            current_agent_frame_id="",
            nodes=(),
            leaf_node_id=None,
            checkpoint=HydratedSessionCheckpoint(
                tool_state=tools,
                tool_state_ref=None if tools is None else "small",
                tool_state_generation=None if tools is None else tools.generation,
                plugin_snapshot=plugins,
                plugin_snapshot_ref=None if plugins is None else "small",
                plugin_snapshot_revision=None if plugins is None else plugins.revision_fingerprint,
            ),
        )

    async def try_claim_session_execution_lease(
        self, session_id: str, owner: LeaseOwnerIdentity, lease_ttl_ms: int
    ) -> SessionLeaseAcquired:
        """Always acquired: a small store has no leases."""
        lease = SessionExecutionLease(
            session_id=session_id,
            owner=owner,
            lease_token="small",  # noqa: S106 - no secret
            fencing_token=0,
            claimed_at_ms=0,
            expires_at_ms=lease_ttl_ms,
        )
        return SessionLeaseAcquired(lease)

    async def release_session_execution_lease(self, completion: object) -> bool:
        """Nothing to release."""
        return False

    async def commit_runtime_state(self, commit: RuntimeCommit) -> RuntimeCommitResult:
        """Store tool state and plugin snapshot."""
        draft = commit.checkpoint
        small = SmallCommit(
            session_id=commit.session_id,
            expected_head_revision=commit.expected_head_revision or 0,
            tool_state=draft.tool_state,
            plugin_snapshot=draft.plugin_snapshot,
        )
        result = await self._store.commit_runtime_state(small)
        return RuntimeCommitResult(
            head_revision=result.head_revision,
            manifest=CommitManifest(tool_state_ref="small", plugin_snapshot_ref="small"),
        )
