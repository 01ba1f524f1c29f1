"""Operations of the registry under the short names that the contract and its first form call them by."""

from __future__ import annotations

from collections.abc import Sequence

from lash_core.model.facts import ProcessHandleDescriptor, ProcessHandleGrant
from lash_core.model.lease import ProcessLease
from lash_core.model.record import ProcessRecord
from lash_core.model.scope import SessionScope
from lash_core.store.process_registry import ProcessRegistry

Handles = tuple[tuple[ProcessHandleGrant, ProcessRecord], ...]
"""Grants of a scope with their rows, by process id."""


class ContractNames:
    """Mixed into every registry; each name says which operation it is (contract 2.3 and 2.8)."""

    async def grant(
        self: ProcessRegistry, scope: SessionScope, process_id: str, descriptor: ProcessHandleDescriptor
    ) -> ProcessHandleGrant:
        """``grant_handle``."""
        return await self.grant_handle(scope, process_id, descriptor)

    async def revoke(self: ProcessRegistry, scope: SessionScope, process_id: str) -> None:
        """``revoke_handle``."""
        await self.revoke_handle(scope, process_id)

    async def transfer(
        self: ProcessRegistry, source: SessionScope, target: SessionScope, process_ids: Sequence[str]
    ) -> None:
        """``transfer_handles``."""
        await self.transfer_handles(source, target, process_ids)

    async def list(self: ProcessRegistry, scope: SessionScope) -> Handles:
        """``list_handles``."""
        return await self.list_handles(scope)

    async def list_handle_grants(self: ProcessRegistry, scope: SessionScope) -> Handles:
        """``list_handles``."""
        return await self.list_handles(scope)

    async def list_live(self: ProcessRegistry, scope: SessionScope) -> Handles:
        """``list_live_handles``."""
        return await self.list_live_handles(scope)

    async def list_live_handle_grants(self: ProcessRegistry, scope: SessionScope) -> Handles:
        """``list_live_handles``."""
        return await self.list_live_handles(scope)

    async def has(self: ProcessRegistry, scope: SessionScope, process_id: str) -> bool:
        """``has_handle``."""
        return await self.has_handle(scope, process_id)

    async def grants_for_process(self: ProcessRegistry, process_id: str) -> tuple[ProcessHandleGrant, ...]:
        """``handles_for_process``."""
        return await self.handles_for_process(process_id)

    async def get_lease(self: ProcessRegistry, process_id: str) -> ProcessLease | None:
        """``get_process_lease``."""
        return await self.get_process_lease(process_id)
